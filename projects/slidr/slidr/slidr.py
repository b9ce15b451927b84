"""SLidR: contrast between superpixels and the points that fall on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mm3dpretrain.registry import MODELS
from projects.ppkt.ppkt import PPKT


@MODELS.register_module()
class SLidR(PPKT):
    """Image-to-LiDAR distillation over superpixels (Sautier et al., CVPR 2022).

    As PPKT, a frozen image network teaches the point encoder; but a pair is a superpixel, the mean
    feature of its pixels, with the mean feature of the points on it. That keeps large surfaces from
    ruling the loss, and leaves fewer negatives that are of the same object.

    The arguments are those of :class:`~projects.ppkt.ppkt.PPKT`; ``num_pairs`` is not used: every
    superpixel with a point counts.

    Args:
        temperature: of the contrast; ``contrast`` is not used, for means of unit vectors are not
            normalised again.
        **kwargs: see PPKT.
    """

    def __init__(self, temperature: float = 0.07, **kwargs) -> None:
        if kwargs.keys() & {'contrast', 'num_pairs'}:
            raise ValueError('SLidR takes no contrast and no num_pairs: give it a temperature')
        super().__init__(**kwargs)
        self.temperature = temperature

    def loss(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """Contrast between superpixels.

        Args:
            inputs: see :meth:`PPKT.loss`, and ``superpixels`` (B, V, H, W), -1 where there is none.
            data_samples: unused.

        Returns:
            ``loss_slidr``, the share ``top1`` of superpixels that their points find, and the
            number ``superpixels``.

        Raises:
            ValueError: if there are no superpixels.
        """
        if 'superpixels' not in inputs:
            raise ValueError('SLidR needs superpixels: end the pipeline in PackSuperpixelPairs')
        pairs = self._pairs(inputs)
        labels = inputs['superpixels'].long().flatten(0, 1)
        maps = F.interpolate(
            self._image_map(inputs['img']),
            size=inputs['img'].shape[-2:],
            mode='bilinear',
            align_corners=self.projector.align_corners,
        )
        maps = F.normalize(maps, dim=1)
        points = F.normalize(self.point_head(pairs.local), dim=-1)
        sample, view, index = pairs.seen.nonzero().T
        pixel = pairs.uv[sample, view, index].long()
        picture = sample * pairs.seen.shape[1] + view
        k, q = superpixel_means(
            points.flatten(0, 1), maps, labels, sample * points.shape[1] + index,
            torch.stack([picture, pixel[:, 1], pixel[:, 0]], dim=1),
        )  # fmt: skip
        loss, top1 = nce(k, q, self.temperature)
        return dict(loss_slidr=loss, top1=top1, superpixels=k.new_tensor(len(k)))


def superpixel_means(
    points: Tensor, maps: Tensor, superpixels: Tensor, pairing_points: Tensor, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean features of all superpixels that at least one point falls on (section 3.2).

    Args:
        points: (N, C) features of the points of the batch.
        maps: (P, C, H, W) features of the pictures of the batch.
        superpixels: int64 (P, H, W), numbers of their own in each picture, -1 where there is none.
        pairing_points: int64 (M,), rows of ``points`` that some picture shows.
        pixels: int64 (M, 3), picture, row and column that shows them.

    Returns:
        (K, C) means of the points and (K, C) means of all pixels of the K superpixels.
    """
    count = int(superpixels.max()) + 1
    # one number for every superpixel of the batch, and one at the end for what belongs to none
    groups = len(superpixels) * count
    shift = torch.arange(len(superpixels), device=superpixels.device)[:, None, None] * count
    owner = torch.where(superpixels >= 0, superpixels + shift, groups)
    of_point = owner[tuple(pixels.T)]
    k, hits = _mean(points[pairing_points], of_point, groups)
    q, _ = _mean(maps.permute(0, 2, 3, 1).flatten(0, 2), owner.flatten(), groups)
    kept = hits > 0
    return k[kept], q[kept]


def _mean(rows: Tensor, owner: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Mean of the rows (R, C) of each group, and how many they are."""
    hits = torch.bincount(owner, minlength=groups + 1)[:groups]
    total = rows.new_zeros(groups + 1, rows.shape[1]).index_add(0, owner, rows)[:groups]
    return total / (hits[:, None].to(rows.dtype) + 1e-6), hits


def nce(k: Tensor, q: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """InfoNCE from rows (K, C) to their partners among the columns, without normalisation.

    Returns:
        The loss, 0 but part of the graph where there is no row, and the share of rows whose
        partner is the most similar.
    """
    if not len(k):
        return 0 * (k.sum() + q.sum()), k.new_zeros(())
    logits = k @ q.T / temperature
    target = torch.arange(len(k), device=k.device)
    return F.cross_entropy(logits, target), (logits.argmax(1) == target).float().mean()
