"""Relations between the samples of a batch: their forms, and the parent of the relation losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .chunking import chunked_sum
from .gather import count_rows, gather_rows


@MODELS.register_module()
class NormalizedSimilarity(nn.Module):
    """Row-wise softmax of cosines: p_ij = softmax_j(cos_ij / t), kept as log p.

    Args:
        temperature: t > 0; its own, not the scale of the contrast, which drifts to 0.01 and leaves
            nothing but the nearest neighbour.

    Raises:
        ValueError: for a temperature that is not positive.
    """

    is_distribution = True

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        self.temperature = temperature

    def forward(self, similarity: Tensor) -> Tensor:
        """Cosines (R, V) to log-probabilities (R, V)."""
        return F.log_softmax(similarity / self.temperature, dim=-1)

    @staticmethod
    def values(relation: Tensor) -> Tensor:
        """Probabilities of log-probabilities."""
        return relation.exp()

    @staticmethod
    def mix(weight: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """log(weight p + (1 - weight) q) of two sets of log-probabilities; weight in (0, 1)."""
        return torch.logaddexp(weight.log() + first, (1 - weight).log() + second)

    @staticmethod
    def reduce(x: Tensor) -> Tensor:
        """Distances of the entries (R, V) to one for each row."""
        return x.sum(-1)


@MODELS.register_module()
class RawSimilarity(nn.Module):
    """The cosines themselves, rows of the Gram matrix."""

    is_distribution = False

    def forward(self, similarity: Tensor) -> Tensor:
        """Cosines (R, V), unchanged."""
        return similarity

    @staticmethod
    def values(relation: Tensor) -> Tensor:
        """The cosines."""
        return relation

    @staticmethod
    def mix(weight: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """weight x + (1 - weight) y."""
        return weight * first + (1 - weight) * second

    @staticmethod
    def reduce(x: Tensor) -> Tensor:
        """Distances of the entries (R, V) to one for each row."""
        return x.mean(-1)


def without_self(similarity: Tensor, first: int = 0) -> Tensor:
    """Remove from row i the column ``first + i``, what a sample has in common with itself.

    Removed, not filled with -inf: a divergence would multiply that by 0 and get NaN.

    Args:
        similarity: (R, V), with ``first + R <= V``.
        first: column of the first row's own sample.

    Returns:
        (R, V - 1), the other columns in their order.
    """
    rows, columns = similarity.shape
    flat = similarity.reshape(-1)
    # between two entries to remove there are always V others
    end = first + 1 + (rows - 1) * (columns + 1)
    middle = flat[first + 1 : end].reshape(rows - 1, columns + 1)[:, :columns]
    kept = torch.cat([flat[:first], middle.reshape(-1), flat[end:]])
    return kept.view(rows, columns - 1)


class Subset(NamedTuple):
    """Samples that have all modalities of a relation.

    Attributes:
        rows: modality -> (R, C) unit features of those of this process.
        columns: modality -> (V, C) of those of all processes, in rank order.
        first: column of the first row.
        share: factor that makes the sum of this process's rows its part of the global mean, such
            that the average over the processes is that mean.
    """

    rows: dict[str, Tensor]
    columns: dict[str, Tensor]
    first: int
    share: float


class GlobalBatch:
    """Unit-length float32 features of this process and of all.

    Args:
        features: modality -> (B, C); gradients flow where a feature requires them.
        valid: modality -> bool (B,), which samples have it; a missing one: all.
        gather_distributed: whether the batch consists of the samples of all processes.

    Raises:
        ValueError: for shapes that do not fit.
    """

    def __init__(
        self,
        features: Mapping[str, Tensor],
        valid: Mapping[str, Tensor],
        gather_distributed: bool,
    ) -> None:
        check_features(features, valid)
        self.features = {name: F.normalize(x.float(), dim=1) for name, x in features.items()}
        anyone = next(iter(self.features.values()))
        self.counts = count_rows(anyone, gather_distributed)
        self.everyone = {name: gather_rows(x, self.counts) for name, x in self.features.items()}
        self.directions: dict[str, Tensor] = {}
        full = torch.ones(len(anyone), dtype=torch.bool, device=anyone.device)
        self.valid = {name: valid.get(name, full) for name in features}
        self.all_valid = {
            name: gather_rows(mask[:, None].float(), self.counts)[:, 0] > 0
            for name, mask in self.valid.items()
        }

    def subset(self, names: Sequence[str], center: bool = False) -> Subset:
        """The samples that have all of ``names``.

        Args:
            names: modalities.
            center: whether the mean of each modality over these samples is taken out.
        """
        mine = torch.stack([self.valid[name] for name in names]).all(0)
        theirs = torch.stack([self.all_valid[name] for name in names]).all(0)
        start = sum(self.counts[: get_rank()]) if len(self.counts) > 1 else 0
        first, total = int(theirs[:start].sum()), int(theirs.sum())
        complete = total == len(theirs)
        columns = {n: self.everyone[n] if complete else self.everyone[n][theirs] for n in names}
        if center and total:
            columns = {n: self._centered(n, x, complete) for n, x in columns.items()}
            # the same rows again, as a view: the gathering passes their gradients on
            end = first + int(mine.sum())
            rows = {n: x[first:end] for n, x in columns.items()}
        else:
            rows = {n: self.features[n] if complete else self.features[n][mine] for n in names}
        return Subset(rows, columns, first, len(self.counts) / max(total, 1))

    def _centered(self, name: str, x: Tensor, complete: bool) -> Tensor:
        """Directions from the mean; kept where they are of all samples, for other subsets."""
        if not complete:
            return _direction(x - x.mean(0))
        if name not in self.directions:
            self.directions[name] = _direction(x - x.mean(0))
        return self.directions[name]


def _direction(x: Tensor) -> Tensor:
    """Unit length, but what is only rounding (all samples alike) stays next to nothing."""
    return F.normalize(x, dim=1, eps=1e-4)


def check_features(features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> None:
    """Refuse features (B, C) and masks (B,) that do not fit together.

    Raises:
        ValueError: naming the shapes.
    """
    shapes = {name: tuple(x.shape) for name, x in features.items()}
    if any(len(shape) != 2 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        raise ValueError(
            f'the modalities must have features of equal shape (B, C), got {shapes}: is the width '
            'of the projection that of the teacher?'
        )
    for name, mask in valid.items():
        size = next(iter(shapes.values()))[:1]
        if mask.dtype != torch.bool or tuple(mask.shape) != size:
            raise ValueError(
                f'the mask of {name!r} must be bool {size}, got {mask.dtype} {tuple(mask.shape)}'
            )


class RelationLoss(nn.Module):
    """Parent of the relation losses: compares relations of a student with those of teachers.

    Rows are processed in chunks that are computed again in the backward pass, so that memory grows
    linearly with the batch: the two relation losses with two terms each take 0.5 GB beside their
    inputs at batch 8192 and 1280 channels. Everything is float32, also under autocast.

    Args:
        relation: default ``dict(type='NormalizedSimilarity', temperature=0.07)``.
        divergence: default ``dict(type='JeffreyDivergence')``.
        center: take the mean of each modality over the batch out of its unit features, and give
            them unit length again. Texts of CLIP share most of their direction (ViT-B/32: cosines
            of 0.81 +- 0.05), so that at t = 0.07 their relations are nearly uniform, 47 of 63
            neighbours count; centred ones have 8, pictures 4. One of three trainings on texts
            alone stayed at chance with it.
        gather_distributed: relate the samples of all processes. The average of the processes'
            values, and of their gradients, then is that of one process with the whole batch.
        chunk_size: rows in memory at a time.

    Raises:
        ValueError: for a divergence between distributions with a relation that is none, or a chunk
            size that is not positive.
    """

    def __init__(
        self,
        relation: dict | None = None,
        divergence: dict | None = None,
        center: bool = False,
        gather_distributed: bool = True,
        chunk_size: int = 128,
    ) -> None:
        super().__init__()
        self.center = center
        self.relation = MODELS.build(relation or dict(type='NormalizedSimilarity'))
        self.divergence = MODELS.build(divergence or dict(type='JeffreyDivergence'))
        if self.divergence.needs_distribution and not self.relation.is_distribution:
            raise ValueError(
                f'{type(self.divergence).__name__} compares probabilities, '
                f'{type(self.relation).__name__} has none: take L2Divergence or '
                'SmoothL1Divergence, or NormalizedSimilarity'
            )
        if chunk_size < 1:
            raise ValueError(f'chunk_size must be positive, got {chunk_size}')
        self.gather_distributed = gather_distributed
        self.chunk_size = chunk_size

    def compare(
        self,
        subset: Subset,
        student: tuple[str, str],
        targets: Sequence[tuple[str, str]],
        remove_self: bool = False,
        mix: Tensor | None = None,
    ) -> Tensor:
        """Mean divergence over the rows of all processes (this process's part of it).

        Args:
            subset: the samples.
            student: modalities of the rows and of the columns.
            targets: the same of the teacher's relation; two of them are mixed.
            remove_self: leave out what a sample has in common with itself.
            mix: weight in (0, 1) of the first of two targets.

        Returns:
            Scalar, 0 but part of the graph where nothing can be related.
        """
        rows = [subset.rows[a] for a, _ in (student, *targets)]
        columns = [subset.columns[b] for _, b in (student, *targets)]
        num_rows, num_columns = len(rows[0]), len(columns[0]) - int(remove_self)
        if not num_rows or num_columns < 1:
            # the backward pass meets the other processes also here
            nothing = sum(x.sum() for x in (*rows, *columns))
            return 0 * (nothing if mix is None else nothing + mix)
        shared = columns if mix is None else [*columns, mix]

        def part(start: int, rows: Sequence[Tensor], shared: Sequence[Tensor]):
            place = subset.first + start if remove_self else None
            student, *known = (self._relate(a, b, place) for a, b in zip(rows, shared))
            target = known[0] if mix is None else self.relation.mix(shared[-1], *known)
            distance = self.divergence(target, student, self.relation)
            return distance.sum(), distance.detach()

        return chunked_sum(part, rows, shared, self.chunk_size)[0] * subset.share

    def _relate(self, rows: Tensor, columns: Tensor, place: int | None) -> Tensor:
        similarity = rows @ columns.T
        if place is not None:
            similarity = without_self(similarity, place)
        return self.relation(similarity)


def logit(share: float) -> float:
    """Inverse of the sigmoid.

    Raises:
        ValueError: for a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f'a share must lie in (0, 1), got {share}')
    return math.log(share / (1 - share))
