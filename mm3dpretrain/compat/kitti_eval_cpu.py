"""KITTI's average precision without a GPU.

mmdet3d computes the overlap of rotated boxes with a ``numba.cuda`` kernel whose module cannot even
be imported without CUDA. Here the same quantity comes from an exact intersection of rectangles.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType

import numpy as np

from .cpu_switch import cpu_ops_enabled

CRITERIA = (-1, 0, 1, 2)


def rotate_iou_cpu_eval(
    boxes: np.ndarray, query_boxes: np.ndarray, criterion: int = -1
) -> np.ndarray:
    """Overlap of rotated boxes in KITTI's camera frame, seen from above.

    Args:
        boxes: (N, 5) x, z, length, width, rotation; a positive rotation turns from x towards -z.
        query_boxes: (K, 5).
        criterion: What the shared area is divided by: -1 the area covered by the two, 0 the
            area of the query box, 1 that of the box, 2 nothing. (mmdet3d documents 0 and 1 the
            other way round; this is what its kernel does.)

    Returns:
        (N, K) float32.

    Raises:
        ValueError: Another criterion or shape.
    """
    from .mmcv_cpu.boxes import rectangles, shared_areas

    if criterion not in CRITERIA:
        raise ValueError(f'criterion must be one of {CRITERIA}, got {criterion!r}')
    for name, value in (('boxes', boxes), ('query_boxes', query_boxes)):
        if np.ndim(value) != 2 or np.shape(value)[1] != 5:
            raise ValueError(f'{name} must have shape (N, 5), got {np.shape(value)}')
    # float32 first, as the CUDA kernel sees them; seen from the other side, angles change sign.
    flip = np.array([1, 1, 1, 1, -1])
    boxes = np.asarray(boxes, np.float32) * flip
    query_boxes = np.asarray(query_boxes, np.float32) * flip
    shared = shared_areas(rectangles(boxes), rectangles(query_boxes))
    areas, query_areas = boxes[:, 2] * boxes[:, 3], query_boxes[:, 2] * query_boxes[:, 3]
    if criterion == -1:
        base = areas[:, None] + query_areas[None] - shared
    elif criterion == 0:
        base = np.broadcast_to(query_areas[None], shared.shape)
    elif criterion == 1:
        base = np.broadcast_to(areas[:, None], shared.shape)
    else:
        return shared.astype(np.float32)
    # Boxes without area share nothing.
    return np.divide(shared, base, out=np.zeros_like(shared), where=base > 0).astype(np.float32)


def mend_kitti_eval(module: ModuleType) -> None:
    """Let the two overlaps of KITTI's evaluation use :func:`rotate_iou_cpu_eval`.

    Args:
        module: ``mmdet3d.evaluation.functional.kitti_utils.eval``, imported.
    """

    def bev_box_overlap(boxes, qboxes, criterion=-1):
        return rotate_iou_cpu_eval(boxes, qboxes, criterion)

    def d3_box_overlap(boxes, qboxes, criterion=-1):
        # x, y, z, l, h, w, ry; y points down and is the bottom.
        shared = rotate_iou_cpu_eval(boxes[:, [0, 2, 3, 5, 6]], qboxes[:, [0, 2, 3, 5, 6]], 2)
        module.d3_box_overlap_kernel(boxes, qboxes, shared, criterion)
        return shared

    _mend_overlap(module, bev_box_overlap)
    _mend_overlap(module, d3_box_overlap)


def _mend_overlap(module: ModuleType, on_cpu: Callable) -> None:
    original = getattr(module, on_cpu.__name__)
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def overlap(boxes, qboxes, criterion=-1):
        return (on_cpu if cpu_ops_enabled() else original)(boxes, qboxes, criterion)

    overlap.mended = True
    setattr(module, on_cpu.__name__, overlap)
