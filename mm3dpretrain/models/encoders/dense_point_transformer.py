"""The point transformer with features of all points."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mm3dpretrain.registry import MODELS

from ..utils.feature_propagation import FeaturePropagation
from .point_transformer import PointTransformer


@MODELS.register_module()
class DensePointTransformer(PointTransformer):
    """:class:`PointTransformer` whose patch features are carried to every point.

    Three-point interpolation and an MLP (PointNet++, Sec. 3.4) stand behind the transformer, as in
    Point-BERT's part segmentation. The transformer's weights keep their names, so a pre-training
    goes into a :class:`PointTransformer` with ``prefix='point_encoder.'``; the MLP's
    (``propagation.``) are the decoder.

    Args:
        propagation_channels: widths of the MLP; the last is ``embed_dim`` of this encoder.
        **kwargs: see :class:`PointTransformer`; its ``embed_dim`` is the width of the tokens. With
            ``out_indices`` the features of these blocks, one after another, are carried, and
            ``levels`` holds them too.
    """

    decoder_parts = ('propagation',)

    def __init__(self, propagation_channels: Sequence[int] = (384, 384), **kwargs) -> None:
        super().__init__(**kwargs)
        tokens = self.embed_dim
        blocks = len(self.out_indices)
        self.propagation = FeaturePropagation(
            tokens * max(1, blocks), self.in_channels, propagation_channels
        )
        # of the features that come out, as in every encoder; tokens know their own width
        self.embed_dim = self.propagation.out_channels
        self.level_channels = (*[tokens] * blocks, self.embed_dim) if blocks else ()

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels), see :class:`PointTransformer`.

        Returns:
            ``local`` (B, N, embed_dim) of every point, ``xyz`` (B, N, 3), ``global``
            (B, out_channels) of the transformer, and with ``out_indices`` ``levels``: (patch
            centres (B, G, 3), features of a block (B, G, tokens)) of every block, first to last,
            and (xyz, local).

        Raises:
            ValueError: for another shape, too few points, or values that are not finite.
        """
        encoded = super().forward(points)
        blocks = encoded.get('blocks', [])
        xyz, centers = points[..., :3].contiguous(), encoded['xyz']
        carried = torch.cat(blocks, dim=-1) if blocks else encoded['local']
        local = self.propagation(xyz, centers, carried, points)
        outputs = {'global': encoded['global'], 'local': local, 'xyz': xyz}
        if blocks:
            outputs['levels'] = [*((centers, block) for block in blocks), (xyz, local)]
        return outputs
