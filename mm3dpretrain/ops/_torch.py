"""The operators in plain PyTorch: any device, any floating-point type, bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor

from . import naive

# Distances held at a time: 64 MB in float32.
CHUNK = 1 << 24


def _query_chunks(query: Tensor, points: Tensor, query_lengths: Tensor | None):
    """Runs of queries with their lengths, so that no distance matrix exceeds the chunk."""
    step = max(1, CHUNK // (len(points) * points.shape[1]))
    for begin in range(0, query.shape[1], step):
        chunk = query[:, begin : begin + step]
        lengths = None
        if query_lengths is not None:
            lengths = (query_lengths - begin).clamp(0, chunk.shape[1])
        yield chunk, lengths


def knn(
    query: Tensor,
    points: Tensor,
    k: int,
    query_lengths: Tensor | None,
    lengths: Tensor | None,
    norm: int,
) -> tuple[Tensor, Tensor]:
    """See :func:`mm3dpretrain.ops.knn`; the distances carry no gradient."""
    parts = [
        naive.knn(chunk, points, k, chunk_lengths, lengths, norm)
        for chunk, chunk_lengths in _query_chunks(query, points, query_lengths)
    ]
    return torch.cat([p[0] for p in parts], 1), torch.cat([p[1] for p in parts], 1)


def ball_query(
    query: Tensor,
    points: Tensor,
    radius: float,
    num_samples: int,
    query_lengths: Tensor | None,
    lengths: Tensor | None,
    inclusive: bool,
    pad_with_first: bool,
) -> Tensor:
    """See :func:`mm3dpretrain.ops.ball_query`."""
    batch, size, _ = points.shape
    valid = naive.valid_mask(size, lengths, batch, points.device)[:, None]
    numbers = torch.arange(size, device=points.device)
    limit = points.new_tensor(radius) ** 2
    found = []
    for chunk, chunk_lengths in _query_chunks(query, points, query_lengths):
        dist2 = naive.pairwise_distance(chunk, points)
        inside = (dist2 <= limit if inclusive else dist2 < limit) & valid
        inside &= naive.valid_mask(chunk.shape[1], chunk_lengths, batch, points.device)[..., None]
        hits = torch.where(inside, numbers, size)
        found.append(hits.topk(min(num_samples, size), largest=False, sorted=True).values)
    idx = torch.cat(found, 1)
    idx = torch.nn.functional.pad(idx, (0, num_samples - idx.shape[2]), value=size)
    free = 0 if pad_with_first else -1
    if pad_with_first:
        idx = torch.where(idx == size, idx[..., :1], idx)
    return idx.masked_fill(idx == size, free)
