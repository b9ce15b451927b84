"""Several parts of a network, each from its own place in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.logging import print_log
from torch import nn

from mm3dpretrain.registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module()
class PretrainedParts:
    """Fill sub-modules of a network from a pre-training checkpoint, or stop.

    MMEngine's ``Pretrained`` belongs to one module that takes an ``init_cfg``. The voxel and middle
    encoders of mmdet3d take none, its ``SECOND`` takes one and forgets it, and detectors of the MVX
    kind call their parts otherwise (``pts_backbone``). So this initializer stands at the detector::

        model = dict(
            init_cfg=dict(
                type='mm3dpretrain.PretrainedParts',
                checkpoint='work_dirs/.../epoch_50.pth',
                parts=dict(
                    pts_voxel_encoder='point_encoder.voxel_encoder.',
                    img_backbone='img_encoder.',
                ),
            ),
            ...
        )

    All of the network is initialised as ever, then the parts are filled: the others start from the
    same random weights as without a checkpoint, given the same seed.

    Args:
        checkpoint: file, URL or model-zoo name.
        parts: dotted name of the part in the network -> prefix of its weights in the checkpoint
            ('' for a bare backbone).
        allow_missing: the checkpoint may lack weights of the network whose full names begin so,
            such as 'pts_voxel_encoder.fusion_layer.'; they stay as the part was initialised.

    Raises:
        ValueError: if ``parts`` is empty.
    """

    def __init__(
        self, checkpoint: str, parts: Mapping[str, str], allow_missing: Sequence[str] = ()
    ) -> None:
        if not parts:
            raise ValueError('PretrainedParts needs parts: name in the network -> prefix')
        self.checkpoint = checkpoint
        self.parts = dict(parts)
        self.allow_missing = tuple(allow_missing)

    def __call__(self, module: nn.Module) -> None:
        """Fill the parts of ``module``.

        Raises:
            AttributeError: if the network has no such part.
            RuntimeError: if the checkpoint has nothing below a prefix, a shape differs, or weights
                are missing that may not be.
        """
        # the models' package is imported by it
        from mm3dpretrain.apis.checkpoint import load_weights, weights_of

        # In the order of BaseModule.init_weights, which then passes over those that are done. Parts
        # alone and first would draw the random numbers that belong to others.
        for child in module.children():
            if hasattr(child, 'init_weights') and not getattr(child, 'is_init', False):
                child.init_weights()
                child.is_init = True
        for name, prefix in self.parts.items():
            part = module.get_submodule(name)
            source = f'{self.checkpoint}, prefix {prefix!r}, for {name!r}:'
            weights = weights_of(self.checkpoint, prefix)
            if not weights and not part.state_dict():
                continue  # a mean over the points of a voxel, a scatter: nothing to fill
            report = load_weights(part, weights, source, allow_missing=True)
            refused = [
                key for key in report.missing if not f'{name}.{key}'.startswith(self.allow_missing)
            ]
            if refused:
                report.missing = refused
                report.require(source)
            print_log(f'{name}: {prefix!r} of {self.checkpoint}: {report}', logger='current')
