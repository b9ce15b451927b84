"""The pre-trained sparse U-Net as a backbone of detectors: voxels instead of points."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mm3dpretrain.registry import MODELS

from ..encoders.mmdet3d_encoders import SparseUNetEncoder
from ..encoders.point_patch_embed import check_points


@MODELS.register_module()
class SparseVoxelBackbone(SparseUNetEncoder):
    """:class:`SparseUNetEncoder` that returns the voxels of several levels with their places.

    A raw pre-training checkpoint goes in with ``prefix='point_encoder.'``, or part by part with
    ``mm3dpretrain.PretrainedParts`` (``backbone.backbone.encoder`` and so on).

    Args:
        voxel_size: see :class:`SparseUNetEncoder`.
        backbone: see :class:`SparseUNetEncoder`.
        out_levels: levels to return, 0 the end of the encoder.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: without levels.
    """

    def __init__(
        self,
        voxel_size: float,
        backbone: dict,
        out_levels: Sequence[int],
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(voxel_size, backbone, out_levels, init_cfg)
        if not self.out_levels:
            raise ValueError(
                'SparseVoxelBackbone needs out_levels: there is nothing else to return'
            )

    def pretraining_features(self, points: Tensor) -> dict[str, Tensor]:
        """What :class:`SparseUNetEncoder` gives: the proof that a checkpoint arrived."""
        return SparseUNetEncoder.forward(self, points)

    def forward(self, points: Tensor) -> list[list[tuple[Tensor, Tensor]]]:
        """Encode scenes.

        Args:
            points: (B, N, C >= in_channels) in metres; further channels are not looked at.

        Returns:
            For each level, coarse to fine, and each scene (xyz (M, 3), features (M, C_l)) of its
            voxels. ``xyz`` is the mean of the points in the voxel: it lies on the surface, in the
            frame of the points.

        Raises:
            ValueError: for too few channels or values that are not finite.
        """
        points = points[..., : self.in_channels]
        check_points(points, self.in_channels, 1)
        features, coors, owner = self._voxels(points)
        with self._listening() as tensors:
            self.backbone(features, coors)
        xyz = points[..., :3].flatten(0, 1)
        levels = []
        for tensor, place in self._placed(coors, tensors):
            row = place[owner]
            count = row.bincount(minlength=len(tensor.indices))
            total = xyz.new_zeros(len(count), 3).index_add(0, row, xyz)
            mean = total / count[:, None].to(total.dtype)
            scene = tensor.indices[:, 0]
            levels.append(
                [(mean[scene == i], tensor.features[scene == i]) for i in range(len(points))]
            )
        return levels
