"""Does a pixel find its LiDAR point?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mm3dpretrain.registry import METRICS


def retrieve_points(
    pixels: Tensor, points: Tensor, seen: Tensor, num_candidates: int, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """The rank of each pixel's own point among the points of a frame.

    Candidates are exactly ``num_candidates`` points, those that are seen before those that are not
    (which are easier to tell apart); queries are the pixels of the seen ones among them. A point
    as similar as the right one is ranked before it.

    Args:
        pixels: (N, C) embeddings of the pixels at the points, unit vectors.
        points: (N, C) embeddings of the points, unit vectors.
        seen: bool (N,), whether some camera sees the point.
        num_candidates: K, at most N.
        seed: of the choice, if there are more than K.

    Returns:
        ``query`` (Q,) int64, the points whose pixels were asked; ``rank`` (Q,) int64, 0 where the
        right point came first; ``found`` (Q,) int64, the most similar point. Q may be 0.

    Raises:
        ValueError: if the frame has fewer points than K.
    """
    if len(points) < num_candidates:
        raise ValueError(
            f'retrieval among {num_candidates} points, but the frame has {len(points)}: let the '
            'encoder return more (num_keypoints, num_points) or set num_candidates'
        )
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
    order = order.to(points.device)
    chosen = order[(~seen[order]).int().argsort(stable=True)][:num_candidates]
    rows = seen[chosen].nonzero()[:, 0]
    similarity = pixels[chosen[rows]].float() @ points[chosen].float().T
    right = similarity.gather(1, rows[:, None])
    rank = (similarity >= right).sum(1) - 1
    return chosen[rows], rank, chosen[similarity.argmax(1)]


def pixel_distance(uv: Tensor, seen: Tensor, query: Tensor, found: Tensor) -> Tensor:
    """How far the pixels of two points lie apart, in the nearest camera that sees the first.

    Args:
        uv: (V, N, 2) pixels of all points.
        seen: bool (V, N), which camera sees which point.
        query, found: (Q,) int64 points; each query is seen by a camera.

    Returns:
        (Q,) in pixels of the picture that the network got.
    """
    apart = (uv[:, query] - uv[:, found]).norm(dim=-1)
    return apart.masked_fill(~seen[:, query], float('inf')).amin(0)


@METRICS.register_module()
class CrossModalRetrieval(BaseMetric):
    """Retrieval of LiDAR points by pixels, within frames: what SimIPU's inter-modal term learns.

    For every frame as :func:`retrieve_points` does; all figures are means over the frames. In
    percent: ``top1`` and ``top5``, the share of pixels whose own point is the most similar or among
    the five most similar of exactly K points. ``pixel_dist`` is the median distance, in pixels of
    the network's input, from the query to the retrieved point. Beside them what chance gives:
    ``chance_top1``, ``chance_top5`` and ``chance_pixel_dist`` (random points in place of the
    retrieved ones). ``queries`` counts pixels a frame; ``frames_unseen`` the frames without any,
    which are left out.

    Reads ``point_embed``, ``image_embed``, ``point_uv`` and ``point_seen`` of the data samples.

    Args:
        num_candidates: K.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the logged names.
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        num_candidates: int = 1024,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.num_candidates = num_candidates

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store the figures of each frame of a batch.

        Args:
            data_batch: not used.
            data_samples: elements or dicts, see the class.

        Raises:
            ValueError: for a sample without embeddings or with too few points.
        """
        names = ('point_embed', 'image_embed', 'point_uv', 'point_seen')
        for sample in data_samples:
            missing = [name for name in names if sample.get(name) is None]
            if missing:
                raise ValueError(
                    f'sample {sample.get("sample_id", "?")!r} lacks {missing}: '
                    'CrossModalRetrieval judges the prediction of SimIPU'
                )
            points, pixels, uv, seen = (sample.get(name) for name in names)
            query, rank, found = retrieve_points(pixels, points, seen.any(0), self.num_candidates)
            if not len(query):
                self.results.append(None)
                continue
            # a wrong point at random, the same for every model
            other = torch.randint(len(query), (len(query),), generator=_generator(len(query)))
            other = query[other.to(query.device)]
            self.results.append(
                (
                    100 * (rank < 1).double().mean().item(),
                    100 * (rank < 5).double().mean().item(),
                    pixel_distance(uv, seen, query, found).median().item(),
                    pixel_distance(uv, seen, query, other).median().item(),
                    len(query),
                )
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means over the frames, see the class.

        Raises:
            ValueError: if no frame has a point that a camera sees.
        """
        frames = [result for result in results if result is not None]
        if not frames:
            raise ValueError(
                f'no camera sees a point in any of {len(results)} frames: check lidar2img'
            )
        top1, top5, distance, chance, queries = np.asarray(frames, np.float64).mean(0)
        return dict(
            top1=top1,
            chance_top1=100.0 / self.num_candidates,
            top5=top5,
            chance_top5=500.0 / self.num_candidates,
            pixel_dist=distance,
            chance_pixel_dist=chance,
            queries=queries,
            frames_unseen=float(len(results) - len(frames)),
        )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
