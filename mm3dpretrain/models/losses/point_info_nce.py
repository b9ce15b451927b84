"""Contrast between thousands of matched rows: points with points, points with pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .chunking import chunked_sum
from .gather import count_rows, gather_rows


@MODELS.register_module()
class PointInfoNCELoss(nn.Module):
    """InfoNCE from each row to its partner among all rows (PointContrast, eq. 2; SimIPU, eq. 4, 6).

    With cosine similarity s, temperature t and M matched rows::

        L = -1/M  sum_i  log  exp(s(q_i, k_i) / t) / sum_j exp(s(q_i, k_j) / t)

    Computed in float32, also under autocast. Whether the keys are constants is the caller's
    decision: detach them before. For independent random unit vectors of d channels the value is
    about ``ln M + 1 / (2 d t^2)``, which is more than the ``ln M`` of equal ones.

    Args:
        temperature: t > 0.
        symmetric: take the mean with the direction from keys to queries.
        gather_distributed: take the rows of all processes as candidates, whatever number each has.
            The average of the processes' values, and of their gradients, is then that of one
            process with all rows.
        chunk_size: anchors whose similarities are in memory at a time. Beyond that number they are
            computed again in the backward pass: 16,384 rows take 0.1 GB at a time, not 1 GB.

    Raises:
        ValueError: for a temperature or chunk size that is not positive.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        symmetric: bool = False,
        gather_distributed: bool = True,
        chunk_size: int = 2048,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        if chunk_size < 1:
            raise ValueError(f'chunk_size must be positive, got {chunk_size}')
        self.temperature = temperature
        self.symmetric = symmetric
        self.gather_distributed = gather_distributed
        self.chunk_size = chunk_size

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        valid: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss and accuracies of corresponding rows.

        Args:
            query: (M, C) features, any length (normalised here).
            key: (M, C) their partners.
            valid: bool (M,); the other rows count neither as anchors nor as candidates.
            scale: scalar to use for 1 / t, such as a parameter that is learned.

        Returns:
            ``loss``, a scalar, 0 but part of the graph where there is no row. Without gradient,
            means over this process's anchors from query to key: ``top1`` and ``top5``, the shares
            in [0, 1] whose partner is among the 1 or 5 most similar candidates, ``top10pct`` and
            ``top50pct``, the same for a tenth and a half of all candidates. A candidate as similar
            as the partner counts as more similar, so that collapsed features score 0.
            ``candidates`` is their number.

        Raises:
            ValueError: for wrong shapes.
        """
        if query.dim() != 2 or query.shape != key.shape:
            raise ValueError(
                'contrast needs matched rows of equal shape (M, C), got '
                f'{tuple(query.shape)} and {tuple(key.shape)}'
            )
        if valid is not None:
            if valid.shape != query.shape[:1] or valid.dtype != torch.bool:
                raise ValueError(
                    f'valid must be bool ({len(query)},), got {valid.dtype} {tuple(valid.shape)}'
                )
            query, key = query[valid], key[valid]
        with torch.autocast(query.device.type, enabled=False):
            query = F.normalize(query.float(), dim=1)
            key = F.normalize(key.float(), dim=1)
            counts = count_rows(query, self.gather_distributed)
            scale = 1 / self.temperature if scale is None else scale.float()
            first = sum(counts[: get_rank()]) if len(counts) > 1 else 0
            total = max(sum(counts), 1)
            loss, rank = self._one_way(query, gather_rows(key, counts), first, scale)
            if self.symmetric:
                back = self._one_way(key, gather_rows(query, counts), first, scale)[0]
                loss = (loss + back) / 2
            # the mean over all rows once the processes' values are averaged
            loss = loss * (len(counts) / total)
        with torch.no_grad():
            figures = {
                name: (rank < limit).float().sum() / max(len(rank), 1)
                for name, limit in (
                    ('top1', 1),
                    ('top5', 5),
                    ('top10pct', max(total // 10, 1)),
                    ('top50pct', max(total // 2, 1)),
                )
            }
        return dict(loss=loss, candidates=loss.new_tensor(sum(counts)), **figures)

    def _one_way(
        self, anchors: Tensor, candidates: Tensor, first: int, scale: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Sum of the terms of all anchors, and how many candidates beat each one's partner."""
        if not len(anchors):
            # also here the backward pass must meet the other processes
            nothing = 0 * (anchors.sum() + candidates.sum() + scale)
            return nothing, torch.zeros(0, dtype=torch.long, device=anchors.device)
        # a scale that is a number needs no gradient and is no argument
        learned = [scale] if isinstance(scale, Tensor) else []

        def terms(start: int, rows: Sequence[Tensor], shared: Sequence[Tensor]):
            logits = rows[0] @ shared[0].T * (shared[1] if learned else scale)
            target = torch.arange(len(logits), device=logits.device) + (first + start)
            with torch.no_grad():
                partner = logits.gather(1, target[:, None])
                rank = (logits >= partner).sum(1) - 1
            return F.cross_entropy(logits, target, reduction='sum'), rank

        return chunked_sum(terms, [anchors], [candidates, *learned], self.chunk_size)
