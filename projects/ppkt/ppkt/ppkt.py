"""PPKT: a frozen image network teaches a point network, pixel by pixel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mm3dpretrain.models.pretrainers import BasePretrainer
from mm3dpretrain.models.pretrainers.simipu import undo_transform
from mm3dpretrain.models.utils.image_sampling import project_to_images, sample_images
from mm3dpretrain.registry import MODELS, TASK_UTILS


class Pairs(NamedTuple):
    """Points, and where the cameras see them.

    Attributes:
        local: (B, N, C) features of the points.
        uv: (B, V, N, 2) pixels of the pictures as the network gets them.
        seen: bool (B, V, N), whether the camera sees the point.
    """

    local: Tensor
    uv: Tensor
    seen: Tensor


@MODELS.register_module()
class PPKT(BasePretrainer):
    """Contrastive pixel-to-point knowledge transfer (Liu et al., arXiv 2104.04687).

    The last map of an image network that never changes goes through a 1 x 1 convolution and is
    read bilinearly at the pixel of each point, which is what upsampling it and taking that pixel
    amounts to. Its partner is the feature of the point, through a linear layer. The loss is InfoNCE
    from points to pixels over ``num_pairs`` pairs of the batch.

    Args:
        point_encoder: from points to ``local`` (B, N, C) and ``xyz`` (B, N, 3).
        image_encoder: backbone to a tuple of maps, such as ``mmdet.ResNet``; give it an
            ``init_cfg``, for it learns nothing here.
        image_channels: channels of its last map.
        contrast: the loss, see :class:`~mm3dpretrain.models.losses.PointInfoNCELoss`.
        embed_dim: channels of the common space.
        num_pairs: pairs of the batch, drawn at random; all where there are fewer.
        projector: how maps are read and when a point is hidden, see
            :class:`~mm3dpretrain.models.renderers.PointProjector`.
        data_preprocessor: see :class:`~mm3dpretrain.models.pretrainers.BasePretrainer`.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    transfer_modules = {'point': 'point_encoder'}

    def __init__(
        self,
        point_encoder: dict,
        image_encoder: dict,
        image_channels: int,
        contrast: dict | None = None,
        embed_dim: int = 64,
        num_pairs: int = 4096,
        projector: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.point_encoder = MODELS.build(point_encoder)
        self.image_encoder = MODELS.build(image_encoder).requires_grad_(False)
        self.point_head = nn.Linear(self.point_encoder.embed_dim, embed_dim)
        self.image_head = nn.Conv2d(image_channels, embed_dim, 1)
        self.contrast = MODELS.build(
            contrast or dict(type='PointInfoNCELoss', temperature=0.07, gather_distributed=False)
        )
        self.num_pairs = num_pairs
        self.projector = TASK_UTILS.build(projector or dict(type='PointProjector'))

    def train(self, mode: bool = True) -> PPKT:
        """As ever, but the image network keeps the statistics of its own training."""
        super().train(mode)
        self.image_encoder.eval()  # mmdet's returns nothing
        return self

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """What the point encoder returns for ``points`` (B, N, C)."""
        return self.point_encoder(inputs['points'])

    def loss(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """Contrast between points and their pixels.

        Args:
            inputs: ``points`` (B, N, C), or ``points_aug`` (B, N, C) with its ``transform``
                (B, 4, 4) from the LiDAR frame; ``img`` (B, V, 3, H, W); ``lidar2img`` (B, V, 4, 4);
                ``img_shape`` and ``depth`` where the data have them, see
                :func:`~mm3dpretrain.models.utils.image_sampling.project_to_images`.
            data_samples: unused.

        Returns:
            ``loss_ppkt``, the share ``top1`` of points whose pixel is the most similar of all
            pairs, and the number ``pairs``.
        """
        pairs = self._pairs(inputs)
        size = tuple(inputs['img'].shape[-2:])
        maps = self._image_map(inputs['img'])
        pixels = sample_images([maps], pairs.uv, size, pairs.seen, self.projector)
        rows = pairs.seen.any(1).nonzero()
        rows = rows[torch.randperm(len(rows), device=rows.device)[: self.num_pairs]]
        place = tuple(rows.T)
        out = self.contrast(self.point_head(pairs.local[place]), pixels[place])
        used = out['loss'].new_tensor(len(rows))
        return dict(loss_ppkt=out['loss'], top1=out['top1'], pairs=used)

    def _pairs(self, inputs: dict[str, Tensor]) -> Pairs:
        """Encode the points, and find them in the pictures."""
        augmented = 'points_aug' in inputs
        out = self.point_encoder(inputs['points_aug' if augmented else 'points'])
        xyz = undo_transform(out['xyz'], inputs['transform']) if augmented else out['xyz']
        with torch.no_grad(), torch.autocast(xyz.device.type, enabled=False):
            uv, _, seen = project_to_images(
                xyz,
                inputs['lidar2img'],
                tuple(inputs['img'].shape[-2:]),
                inputs.get('img_shape'),
                inputs.get('depth'),
                self.projector,
            )
        return Pairs(out['local'], uv, seen)

    def _image_map(self, img: Tensor) -> Tensor:
        """(B V, embed_dim, h, w) of pictures (B, V, 3, H, W)."""
        with torch.no_grad():
            last = self.image_encoder(img.flatten(0, 1))[-1]
        return self.image_head(last)
