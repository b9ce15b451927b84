"""Boxes from above and in pictures: where the pixels are, what is cut off."""

from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.visualization.boxes import (
    EDGES,
    boxes_in_picture,
    projected_rectangle,
    projection_matrix,
    view_from_above,
)

RED, GREEN = (255, 0, 0), (0, 255, 0)
LENS = np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]])  # picture of 160 x 120


def corners(center, size):
    """(1, 8, 3) in the order of mmdet3d: x, then y, then z, the last two as a Gray code."""
    signs = [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1], [1, 1, 1], [1, 1, 0]]
    return (np.array(center) + (np.array(signs) - 0.5) * np.array(size))[None]


def pixels(picture, color):
    """(N, 2) column and row of the pixels of about this colour; lines have soft edges."""
    return np.argwhere((np.abs(picture.astype(int) - color) < 100).all(-1))[:, ::-1]


def test_order_of_corners_is_that_of_mmdet3d():
    structures = pytest.importorskip('mmdet3d.structures')
    table = [[1.0, 2.0, 3.0, 4.0, 1.5, 2.0, 0.0]]
    for kind in (structures.LiDARInstance3DBoxes, structures.DepthInstance3DBoxes):
        theirs = kind(table, origin=(0.5, 0.5, 0.5)).corners.numpy()
        np.testing.assert_allclose(theirs, corners([1, 2, 3], [4, 1.5, 2]), atol=1e-6)
    theirs = structures.CameraInstance3DBoxes(table, origin=(0.5, 0.5, 0.5)).corners.numpy()[0]
    lengths = sorted(np.linalg.norm(theirs[a] - theirs[b]) for a, b in EDGES)
    np.testing.assert_allclose(lengths, [1.5] * 4 + [2] * 4 + [4] * 4, atol=1e-5)


@pytest.mark.parametrize(
    'up, place',
    # from the middle: a point 4 to the front of a LiDAR and 2 to its left, and so on
    [('x', (-2, 4)), ('y', (4, 2)), ('z', (4, 3))],
)
def test_axes_of_the_view_from_above(up, place):
    point = np.array([[4.0, 2.0, 3.0]])
    picture = view_from_above(point, [], 101, up, limits=(-5, -5, 5, 5), colors=np.array([RED]))
    column, row = pixels(picture, RED).min(0)  # the point is two pixels wide
    scale = 101 * 0.94 / 10
    np.testing.assert_allclose((column - 50) / scale, place[0], atol=0.06)
    np.testing.assert_allclose((50 - row) / scale, place[1], atol=0.06)


def test_box_from_above_and_its_front():
    box = corners([2, 1, 0.5], [4, 2, 1])
    picture = view_from_above(np.zeros((0, 3)), [(box, RED)], 200, 'x', limits=(-10, -10, 10, 10))
    found = pixels(picture, RED)
    scale = 200 * 0.94 / 20
    # x from 0 to 4 is upwards, y from 0 to 2 leftwards
    np.testing.assert_allclose(found.min(0), [100 - 2 * scale, 100 - 4 * scale], atol=1.5)
    np.testing.assert_allclose(found.max(0), [100, 100], atol=1.5)
    # the stroke covers the front half of the middle line only
    middle = picture[:, round(100 - scale)]
    half = round(100 - 2 * scale)
    assert (middle[half - 12 : half - 2] != 255).any(-1).all()
    assert (middle[half + 4 : half + 12] == 255).all()


def test_the_view_covers_the_points_and_all_boxes():
    points = np.random.default_rng(0).uniform(-3, 3, (500, 3))
    far = corners([30, 0, 0], [2, 2, 2])
    picture = view_from_above(points, [(far, RED)], 128)
    assert len(pixels(picture, RED)) > 8
    assert ((picture != 255).any(-1)).sum() > 50
    nothing = view_from_above(np.zeros((0, 3)), [], 64)
    assert nothing.shape == (64, 64, 3) and (nothing == 255).all()


def test_wrong_input():
    with pytest.raises(ValueError, match="'x', 'y' or 'z', got 'w'"):
        view_from_above(np.zeros((1, 3)), [], up='w')
    with pytest.raises(ValueError, match='must be finite'):
        view_from_above(np.full((1, 3), np.nan), [])
    with pytest.raises(ValueError, match=r'got \(2, 4\)'):
        projection_matrix(np.zeros((2, 4)))


def test_edges_in_a_picture():
    black = np.zeros((120, 160, 3), np.uint8)
    box = corners([0, 0, 10], [4, 2, 2])
    drawn = boxes_in_picture(black, [(box, GREEN)], LENS)
    assert (black == 0).all()
    found = pixels(drawn, GREEN)
    # the near face, 9 m away: 4 m wide and 2 m high
    np.testing.assert_allclose(found.min(0), [80 - 200 / 9, 60 - 100 / 9], atol=1.5)
    np.testing.assert_allclose(found.max(0), [80 + 200 / 9, 60 + 100 / 9], atol=1.5)
    # the far face, 11 m away, is drawn as well
    assert [80, 60 - round(100 / 11)] in found.tolist()
    whole = np.eye(4)
    whole[:3, :3] = LENS
    assert np.array_equal(drawn, boxes_in_picture(black, [(box, GREEN)], whole))


def test_behind_the_camera():
    black = np.zeros((120, 160, 3), np.uint8)
    behind = corners([0, 0, -10], [4, 2, 2])
    assert (boxes_in_picture(black, [(behind, GREEN)], LENS) == 0).all()
    assert projected_rectangle(behind[0], LENS, (120, 160)) is None
    # half of a box beside the camera: its visible part leaves the picture at the right
    beside = corners([2, 0, 0], [1, 1, 8])
    left, _, right, _ = projected_rectangle(beside[0], LENS, (120, 160))
    assert right == 160 and left == pytest.approx(80 + 100 * 1.5 / 4)
    assert (boxes_in_picture(black, [(beside, GREEN)], LENS) != 0).any()


def test_rectangle():
    box = corners([0, 0, 10], [4, 2, 2])[0]
    expected = [80 - 200 / 9, 60 - 100 / 9, 80 + 200 / 9, 60 + 100 / 9]
    np.testing.assert_allclose(projected_rectangle(box, LENS, (120, 160)), expected)
    outside = corners([100, 0, 10], [4, 2, 2])[0]
    assert projected_rectangle(outside, LENS, (120, 160)) is None
