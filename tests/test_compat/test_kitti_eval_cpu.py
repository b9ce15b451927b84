"""KITTI's average precision on the CPU equals the reference values."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest
import torch

from mm3dpretrain.compat import kitti_eval_cpu, set_cpu_ops
from mm3dpretrain.compat.kitti_eval_cpu import rotate_iou_cpu_eval
from mm3dpretrain.compat.mmcv_cpu import naive

FIELDS = {
    -1: 'iou',
    0: 'criterion0_intersection_over_query_area',
    1: 'criterion1_intersection_over_box_area',
    2: 'intersection',
}


@pytest.fixture(autouse=True)
def _served():
    set_cpu_ops('on')
    yield
    set_cpu_ops(None)


def frames(arrays: dict[str, np.ndarray], side: str) -> list[dict[str, np.ndarray]]:
    """Cut the concatenated annotations into one dict a frame."""
    names = [key for key in arrays if key.startswith(f'{side}/') and not key.endswith('/num')]
    cuts = np.cumsum(arrays[f'{side}/num'])[:-1]
    columns = {key.partition('/')[2]: np.split(arrays[key], cuts) for key in names}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


@pytest.mark.parametrize('criterion', FIELDS)
def test_golden_overlaps(golden, criterion):
    table = golden('kitti_eval/rotated_iou.npz')
    iou = rotate_iou_cpu_eval(table['boxes'], table['query_boxes'], criterion)
    assert iou.dtype == np.float32
    assert np.allclose(iou, table[FIELDS[criterion]], atol=1e-5)


def test_overlap_equals_the_twin():
    rng = np.random.default_rng(0)
    boxes = rng.uniform([-3, -3, 0.5, 0.5, -4], [3, 3, 4, 4, 4], (30, 5)).astype(np.float32)
    twin = naive.rotate_iou(torch.from_numpy(boxes), torch.from_numpy(boxes[:20]))
    assert np.allclose(rotate_iou_cpu_eval(boxes, boxes[:20]), twin.numpy(), atol=1e-5)


def test_a_box_turns_from_x_towards_minus_z():
    bar = np.array([[0, 0, 4, 1, math.pi / 4]], np.float32)
    ahead = np.array([[1, -1, 1, 1, 0], [1, 1, 1, 1, 0]], np.float32)  # x, z
    assert (rotate_iou_cpu_eval(bar, ahead) > 0).tolist() == [[True, False]]


def test_nothing_to_compare_and_boxes_without_area():
    boxes = np.zeros((2, 5), np.float32)
    assert rotate_iou_cpu_eval(boxes[:0], boxes).shape == (0, 2)
    for criterion in FIELDS:
        assert (rotate_iou_cpu_eval(boxes, boxes, criterion) == 0).all()


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match='criterion must be one of .*, got 3'):
        rotate_iou_cpu_eval(np.zeros((1, 5)), np.zeros((1, 5)), 3)
    with pytest.raises(ValueError, match=r'query_boxes must have shape \(N, 5\), got \(1, 7\)'):
        rotate_iou_cpu_eval(np.zeros((1, 5)), np.zeros((1, 7)))


def test_switched_off_the_original_is_called():
    module = types.SimpleNamespace(
        bev_box_overlap=lambda *args: 'original', d3_box_overlap=lambda *args: 'original'
    )
    kitti_eval_cpu.mend_kitti_eval(module)
    mended = module.bev_box_overlap
    kitti_eval_cpu.mend_kitti_eval(module)
    assert module.bev_box_overlap is mended
    box = np.array([[0, 0, 1, 1, 0]], np.float32)
    assert mended(box, box).tolist() == [[1]]
    set_cpu_ops('off')
    assert mended(box, box) == 'original'


@pytest.mark.parametrize('name', ['main', 'few'])
def test_golden_average_precision(golden, golden_json, name):
    functional = pytest.importorskip('mmdet3d.evaluation.functional')
    expected = golden_json('kitti_eval/results.json')
    arrays = golden(f'kitti_eval/annos_{name}.npz')
    truth, found = frames(arrays, 'gt'), frames(arrays, 'dt')
    reference = expected['sets'][name]
    _, ap = functional.kitti_eval(
        truth, found, expected['classes'], eval_types=list(expected['metrics'])
    )
    compared = 0
    for key, value in reference['ap'].items():
        assert ap[key] == pytest.approx(value, abs=1e-3), key
        compared += 1
    assert compared > 100
