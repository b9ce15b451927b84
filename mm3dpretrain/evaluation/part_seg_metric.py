"""IoU of parts by the protocol of ShapeNetPart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mm3dpretrain.registry import METRICS


def parts_of_scores(scores: Tensor, part_ids: Sequence[int]) -> Tensor:
    """The best part of every point among those of the shape's own category.

    Args:
        scores: (N, num_parts) over the parts of all categories.
        part_ids: ids of the category's parts.

    Returns:
        (N,) int64 part ids.
    """
    ids = torch.as_tensor(list(part_ids), device=scores.device)
    return ids[scores[:, ids].argmax(dim=1)]


def shape_iou(predicted: np.ndarray, truth: np.ndarray, part_ids: Sequence[int]) -> float:
    """Mean IoU of one shape over the parts of its category, in [0, 1].

    A part that neither the truth nor the prediction has counts 1 (PointNet, Sec. 5.2).

    Args:
        predicted: (N,) part ids.
        truth: (N,) part ids.
        part_ids: ids of the category's parts.

    Raises:
        ValueError: if the truth holds a part of another category.
    """
    ids = np.asarray(list(part_ids))
    is_true, is_predicted = truth[:, None] == ids, predicted[:, None] == ids
    if not is_true.any(axis=1).all():
        foreign = sorted(set(np.unique(truth).tolist()) - set(ids.tolist()))
        raise ValueError(
            f'the truth holds the parts {foreign}, the category has {ids.tolist()} only'
        )
    union = (is_true | is_predicted).sum(axis=0)
    common = (is_true & is_predicted).sum(axis=0)
    return float(np.where(union > 0, common / np.maximum(union, 1), 1.0).mean())


@METRICS.register_module()
class PartSegMetric(BaseMetric):
    """Instance and class mIoU of parts, in percent (ShapeNetPart's protocol).

    For every shape only the parts of its own category compete; its IoU is the mean over them (see
    :func:`shape_iou`). ``instance_miou`` is the mean over all shapes, ``class_miou`` the mean over
    the categories' means, ``point_acc`` the share of right points.

    Reads ``gt_label``, ``gt_part`` and ``pred_part_score`` of the data samples, and ``classes``
    and ``part_ids`` (class -> ids of its parts) of the data set's meta information.

    Args:
        votes: judge ``vote_part_score``, the mean over transformed copies of each cloud, instead.
            The names then begin with ``voteN_``, N copies, so that nobody takes them for the
            plain result.
        per_class: add ``iou_<class>``.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the logged names.
    """

    default_prefix = 'part'

    def __init__(
        self,
        votes: bool = False,
        per_class: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.votes = votes
        self.per_class = per_class

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store (category, shape IoU, share of right points, number of votes) of a batch.

        Args:
            data_batch: not used.
            data_samples: elements or dicts, see the class.

        Raises:
            ValueError: for a sample without category, parts or scores, or a data set without
                ``part_ids``.
        """
        classes, part_ids = self._meta()
        name = 'vote_part_score' if self.votes else 'pred_part_score'
        for sample in data_samples:
            label, parts, scores = (sample.get(k) for k in ('gt_label', 'gt_part', name))
            if label is None or parts is None or scores is None:
                hint = ': add VoteCopies to the test pipeline' if self.votes else ''
                raise ValueError(
                    f'sample {sample.get("sample_id", "?")!r} lacks gt_label, gt_part or {name}'
                    f'{hint}'
                )
            ids = part_ids[classes[int(label)]]
            predicted = parts_of_scores(scores, ids).cpu().numpy()
            truth = parts.cpu().numpy()
            try:
                iou = shape_iou(predicted, truth, ids)
            except ValueError as error:
                raise ValueError(f'sample {sample.get("sample_id", "?")!r}: {error}') from error
            right = float((predicted == truth).mean())
            votes = int(sample.get('num_votes', 0)) if self.votes else 0
            self.results.append((int(label), iou, right, votes))

    def _meta(self) -> tuple[Sequence[str], dict[str, Sequence[int]]]:
        meta = self.dataset_meta or {}
        missing = [key for key in ('classes', 'part_ids') if key not in meta]
        if missing:
            raise ValueError(
                f'PartSegMetric needs {missing} in the meta information of the data set: use one '
                'with parts (ShapeNetPart, Lpsb19Parts, or ShapeNet55 on the synthetic set)'
            )
        return meta['classes'], meta['part_ids']

    def compute_metrics(self, results: list) -> dict[str, float]:
        """``instance_miou``, ``class_miou`` and ``point_acc``, all in percent."""
        labels, iou, right, votes = np.asarray(results, np.float64).reshape(-1, 4).T
        labels = labels.astype(int)
        per_class = {label: iou[labels == label].mean() for label in np.unique(labels)}
        found = dict(
            instance_miou=iou.mean(),
            class_miou=np.mean(list(per_class.values())),
            point_acc=right.mean(),
        )
        if self.per_class:
            classes, _ = self._meta()
            found.update({f'iou_{classes[label]}': v for label, v in per_class.items()})
        start = f'vote{int(votes[0])}_' if self.votes else ''
        return {start + key: 100.0 * float(value) for key, value in found.items()}
