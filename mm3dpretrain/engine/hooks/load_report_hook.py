"""Say what a training started from, and refuse a silent no-op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mm3dpretrain.apis.checkpoint import compare_keys, config_of, weights_of
from mm3dpretrain.engine.strategies.sharding import whole_parameters
from mm3dpretrain.registry import HOOKS


@HOOKS.register_module()
class LoadReportHook(Hook):
    """Log how many weights came from each checkpoint that a fresh training starts from.

    Looks at every sub-module with ``init_cfg=dict(type='Pretrained', ...)``, at the parts that
    ``mm3dpretrain.PretrainedParts`` names, and at ``load_from``.
    MMEngine itself only prints a warning where keys or shapes do not fit, in the middle of a long
    log; training then goes on from random weights.

    An image encoder that was trained on pictures of another normalisation is a warning: it works,
    and worse than it could.

    Args:
        parts: sub-modules that must have started from a checkpoint. A module that ignores its
            ``init_cfg``, as mmdet3d's SECOND does, is found out only so.
        allow_mismatched: accept weights of another shape (a head for other classes); they keep
            their random values and are logged.

    Raises:
        RuntimeError: before the first iteration, if nothing of a checkpoint is in the model,
            shapes differ, or one of ``parts`` started from none.
    """

    def __init__(self, parts: Sequence[str] = (), allow_mismatched: bool = False) -> None:
        self.parts = tuple(parts)
        self.allow_mismatched = allow_mismatched

    def before_train(self, runner) -> None:
        """Compare all checkpoints with the model. A resumed run has nothing to compare."""
        if runner._resume and runner.iter:  # asked to resume, it may have found nothing
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        sources = pretrained_parts(model)
        if runner._load_from:
            sources.append(('model', model, str(runner._load_from), ''))
        found = [name for name, *_ in sources]
        lost = [
            part
            for part in self.parts
            if part not in found and model.get_submodule(part).state_dict()
        ]
        if lost:
            raise RuntimeError(
                f'{lost} would start from random weights, only {found} start from a checkpoint. '
                'A module may ignore its init_cfg (SECOND of mmdet3d does): give the whole network '
                "init_cfg=dict(type='mm3dpretrain.PretrainedParts', ...) instead"
            )
        for name, module, checkpoint, prefix in sources:
            with whole_parameters(runner.model):
                runner.logger.info(self._report(name, module, checkpoint, prefix))
            difference = other_pictures(model, checkpoint, prefix)
            if difference:
                runner.logger.warning(f'{name}: {difference}')

    def _report(self, name: str, module: nn.Module, checkpoint: str, prefix: str) -> str:
        state_dict = weights_of(checkpoint, prefix)
        report = compare_keys(module, state_dict)
        own = module.state_dict()
        equal = [
            key for key in report.matched if torch.equal(own[key].cpu(), state_dict[key].cpu())
        ]
        text = f'{name}: {len(equal)} of {len(own)} weights are those of {checkpoint}'
        if prefix:
            text += f' below {prefix!r}'
        text += f'\n({report})'
        # zeros and ones of norms equal those of any other network: they are no evidence
        varied = [key for key in report.matched if _varies(state_dict[key])]
        loaded = set(equal) & set(varied) if varied else equal
        if not loaded or (report.mismatched and not self.allow_mismatched):
            raise RuntimeError(
                f'{text}\nThe training would not start from this checkpoint. Compare the prefix '
                'and the widths of both; allow_mismatched=True in LoadReportHook accepts other '
                'shapes'
            )
        return text


def other_pictures(model: nn.Module, checkpoint: str, prefix: str) -> str | None:
    """What differs between the pictures that an image encoder was trained on and those it will see.

    Args:
        model: with a ``data_preprocessor`` that has ``mean`` and ``std``.
        checkpoint: of a pre-training with this toolbox, whose pictures are RGB unless its
            preprocessor has ``bgr``.
        prefix: of the weights in it; only those of its image encoder matter.

    Returns:
        A sentence, or None if they agree or the checkpoint does not say.
    """
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    meta = content.get('meta') or {}
    image = meta.get('mm3dpretrain', {}).get('transfer_modules', {}).get('image')
    ours = getattr(model, 'data_preprocessor', None)
    if not image or not prefix.startswith(image) or getattr(ours, 'mean', None) is None:
        return None
    theirs = config_of(meta, checkpoint).model.get('data_preprocessor', {})
    order = 'BGR' if theirs.get('bgr') else 'RGB'
    for key in ('mean', 'std'):
        expected, found = theirs.get(key), getattr(ours, key).flatten().tolist()
        if expected is not None and not np.allclose(expected, found, atol=1e-3):
            return (
                f'{checkpoint} was trained on {order} pictures with {key} {list(expected)}, here '
                f'it is {[round(value, 3) for value in found]}: set data_preprocessor to the same'
            )
    # mmdet's and mmdet3d's get BGR and say whether they turn it round; this toolbox's get RGB
    turned = getattr(ours, '_channel_conversion', None)
    bgr = getattr(ours, 'bgr', False) if turned is None else not turned
    if bgr != (order == 'BGR'):
        setting = f'bgr={order == "BGR"}' if turned is None else f'bgr_to_rgb={order == "RGB"}'
        return f'{checkpoint} was trained on {order} pictures: set {setting} in data_preprocessor'
    return None


def _varies(value: Tensor) -> bool:
    return bool((value != value.flatten()[0]).any()) if value.numel() else False


def pretrained_parts(model: nn.Module) -> list[tuple[str, nn.Module, str, str]]:
    """(name, module, checkpoint, prefix) of all parts that were initialised from a file."""
    parts = []
    for name, module in model.named_modules():
        configs = getattr(module, 'init_cfg', None) or []
        for cfg in [configs] if isinstance(configs, Mapping) else configs:
            if cfg.get('type') == 'Pretrained':
                parts.append((name or 'model', module, cfg['checkpoint'], cfg.get('prefix') or ''))
            elif str(cfg.get('type')).rpartition('.')[2] == 'PretrainedParts':
                for part, prefix in cfg['parts'].items():
                    filled = module.get_submodule(part)
                    if filled.state_dict():  # a voxel encoder may only take a mean
                        full = f'{name}.{part}' if name else part
                        parts.append((full, filled, cfg['checkpoint'], prefix))
    return parts
