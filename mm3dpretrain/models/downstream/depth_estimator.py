"""Monocular depth with a (pre-trained) image encoder."""

from __future__ import annotations

import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

from .point_task import required_field


@MODELS.register_module()
class DepthEstimator(BaseModel):
    """Image encoder and depth decoder: depth from one picture.

    - ``dec``: ``freeze_backbone=True``, the decoder learns,
    - ``ft``: everything learns, from a pre-training,
    - ``scratch``: everything learns, from random weights.

    (A linear probe makes no sense here: nothing would carry the coarse features to pixels.)

    Weights of a pre-training come in through the encoder's
    ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix='img_encoder.')``, straight from its
    checkpoint; ``LoadReportHook`` says how many of them fit. The pictures must be normalised as
    the weights expect it: torchvision's want RGB, mean and deviation of ImageNet.

    ``predict`` adds ``pred_depth`` (H, W) in metres to the data samples.

    Args:
        backbone: image encoder whose ``forward(img (B, 3, H, W))`` returns maps, finest first,
            such as ``mmdet.ResNet``.
        decoder: such as :class:`DenseDepthDecoder`.
        loss: default :class:`~mm3dpretrain.models.losses.SigLoss`.
        stem: dotted name of the sub-module of the backbone whose *input* is one more map, before
            the others. A ResNet does not return the map at stride 2 that the decoder of DenseDepth
            wants: it is what goes into 'maxpool'.
        freeze_backbone: the encoder gets no gradient and stays in eval mode.
        flip_test: in the test, average with the depth of the mirrored picture.
        data_preprocessor: config; default ``PretrainDataPreprocessor`` without normalisation.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: if the backbone has no sub-module ``stem``.
    """

    transfer_modules = {'image': 'backbone'}

    def __init__(
        self,
        backbone: dict,
        decoder: dict,
        loss: dict | None = None,
        stem: str | None = None,
        freeze_backbone: bool = False,
        flip_test: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if data_preprocessor is None:
            data_preprocessor = dict(type='PretrainDataPreprocessor')
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        if stem is not None and stem not in dict(self.backbone.named_modules()):
            raise ValueError(
                f'{type(self.backbone).__name__} has no sub-module {stem!r}; it has '
                f'{[name for name, _ in self.backbone.named_children()]}'
            )
        self.decoder = MODELS.build(decoder)
        self.depth_loss = MODELS.build(loss or dict(type='SigLoss'))
        self.stem = stem
        self.flip_test = flip_test
        self.freeze_backbone = freeze_backbone
        if freeze_backbone:
            self.backbone.requires_grad_(False)
            self.backbone.eval()

    def train(self, mode: bool = True) -> DepthEstimator:
        """Training mode for all that learns."""
        super().train(mode)
        if self.freeze_backbone:
            self.backbone.eval()
        return self

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> tuple[Tensor, ...]:
        """Feature maps of ``img`` (B, 3, H, W), finest first, the stem's among them."""
        kept: list[Tensor] = []
        handle = None
        if self.stem is not None:
            module = self.backbone.get_submodule(self.stem)
            handle = module.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
        try:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_backbone):
                maps = self.backbone(inputs['img'])
        finally:
            if handle is not None:
                handle.remove()
        return (*kept, *maps)

    def estimate(self, img: Tensor) -> Tensor:
        """Depth (B, H, W) in metres of normalised pictures (B, 3, H, W)."""
        depth = self.decoder(self.extract_feat(dict(img=img)))
        size = img.shape[-2:]
        return F.interpolate(depth[:, None], size, mode='bilinear', align_corners=True)[:, 0]

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[PretrainDataSample] | None = None,
        mode: str = 'tensor',
    ):
        """Dispatch: 'tensor' -> depth (B, H, W), 'loss' -> dict, 'predict' -> samples.

        Args:
            inputs: with ``img`` (B, 3, H, W), from the data preprocessor.
            data_samples: with ``gt_depth`` (H, W) in metres, 0 where unknown, for the loss.
            mode: see above.

        Raises:
            ValueError: for another mode, or a batch without pictures.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        if 'img' not in inputs:
            raise ValueError(f"depth needs 'img' in the inputs, got {sorted(inputs)}")
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.estimate(inputs['img'])

    def loss(self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample]) -> dict:
        """``loss_depth`` and ``abs_rel`` of the batch, both scalars.

        Raises:
            ValueError: for a sample without ``gt_depth``, or of another size than its picture.
        """
        targets = required_field(data_samples, 'gt_depth', 'depth')
        size = tuple(inputs['img'].shape[-2:])
        for target, sample in zip(targets, data_samples):
            if tuple(target.shape) != size:
                raise ValueError(
                    f'sample {sample.get("sample_id", "?")!r}: gt_depth is {tuple(target.shape)}, '
                    f'its picture {size}: resize and crop both'
                )
        depth = self.estimate(inputs['img'])
        target = torch.stack(targets).to(depth)
        valid = target > 0
        with torch.no_grad():
            relative = (depth[valid] - target[valid]).abs() / target[valid]
        return dict(
            loss_depth=self.depth_loss(depth, target),
            abs_rel=relative.sum() / valid.sum().clamp_min(1),
        )

    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample] | None = None
    ) -> list[PretrainDataSample]:
        """Data samples with ``pred_depth`` (H, W) in metres."""
        img = inputs['img']
        depth = self.estimate(img)
        if self.flip_test:
            depth = (depth + self.estimate(img.flip(-1)).flip(-1)) / 2
        if data_samples is None:
            data_samples = [PretrainDataSample() for _ in range(len(img))]
        for sample, one in zip(data_samples, depth):
            sample.pred_depth = one
        return data_samples
