"""LiDAR points over pictures and from above."""

from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.visualization import draw_birds_eye, draw_lidar_overlay, scale_colors
from mm3dpretrain.visualization.lidar_overlay import square_extent

LENS = np.array([[20.0, 0, 30, 0], [0, 20, 20, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # x right, z ahead


def test_scale_of_colours():
    colors = scale_colors(np.array([0.0, 0.5, 1.0, 5.0, np.nan, -3.0]), 0, 1)
    assert (colors[0] == colors[5]).all() and (colors[2] == colors[3]).all()
    assert (colors[4] == 128).all() and len(np.unique(colors[:3], axis=0)) == 3
    # turbo: from blue to red
    mostly = scale_colors(np.array([0.1, 0.9]), 0, 1).astype(int)
    assert mostly[0, 2] > mostly[0, 0] and mostly[1, 0] > mostly[1, 2]
    assert (scale_colors(np.array([np.nan])) == 128).all()
    assert scale_colors(np.zeros(3)).shape == (3, 3)


def test_near_points_lie_over_far_ones():
    image = np.full((40, 60, 3), 100, np.uint8)
    points = np.array([[0, 0, 4.0], [0, 0, 8], [1, 0, 4], [50, 0, 4], [0, 0, -4]])
    values = np.array([0.0, 1, 1, 1, 1])
    picture = draw_lidar_overlay(image, points, LENS, values, 0, 1, radius=1)
    first, last = scale_colors(np.array([0.0, 1.0]), 0, 1)
    assert (picture[20, 30] == first).all()  # not the one at 8 m
    assert (picture[20, 35] == last).all()  # u = 20 / 4 + 30
    assert (picture[0, 0] == 60).all()  # dimmed
    assert (picture != 60).any(-1).sum() == 10  # two crosses of 5 pixels
    assert (image == 100).all()


def test_colour_is_the_depth_by_default():
    points = np.array([[-4.0, 0, 4], [40, 0, 40]])
    picture = draw_lidar_overlay(np.zeros((40, 60, 3), np.uint8), points, LENS, radius=0)
    near, far = picture[20, 10].astype(int), picture[20, 50].astype(int)
    assert near[2] > near[0] and far[0] > far[2]


def test_ends_of_the_depth_scale_are_metres():
    points = np.array([[-4.0, 0, 4], [40, 0, 40], [0, 0, 12.649]])  # the last is between them
    picture = draw_lidar_overlay(
        np.zeros((40, 60, 3), np.uint8), points, LENS, low=4, high=40, radius=0
    )
    ends = scale_colors(np.array([0.0, 0.5, 1.0]), 0, 1)
    assert (picture[20, 10] == ends[0]).all() and (picture[20, 50] == ends[2]).all()
    assert picture[20, 30].astype(int) == pytest.approx(ends[1].astype(int), abs=6)


def test_legend():
    points = np.random.default_rng(0).uniform([-2, -2, 2], [2, 2, 9], (50, 3))
    image = np.zeros((40, 60, 3), np.uint8)
    plain = draw_lidar_overlay(image, points, LENS)
    named = draw_lidar_overlay(image, points, LENS, legend='m')
    assert (plain[:26] == named[:26]).all() and (plain[28:] != named[28:]).any()


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(image=np.zeros((4, 4), np.uint8)), r'image must be \(H, W, 3\) uint8'),
        (dict(image=np.zeros((4, 4, 3))), 'float64'),
        (dict(points=np.zeros((4, 2))), r'points must be \(N, >= 3\)'),
        (dict(values=np.zeros(3)), '4 points but values of shape'),
    ],
)
def test_refuses(change, message):
    args = dict(image=np.zeros((4, 4, 3), np.uint8), points=np.zeros((4, 3)), values=None)
    args.update(change)
    with pytest.raises(ValueError, match=message):
        draw_lidar_overlay(args['image'], args['points'], LENS, args['values'])


def test_nothing_to_draw():
    image = np.full((8, 8, 3), 10, np.uint8)
    picture = draw_lidar_overlay(image, np.zeros((0, 4)), LENS, legend='m')
    assert (picture == 6).all()
    assert draw_birds_eye(np.zeros((0, 3)), 16).shape == (16, 16, 3)


def test_forward_is_up_and_left_is_left():
    points = np.array([[8.0, 0, 0], [0, 8, 0]])
    picture = draw_birds_eye(points, 40, np.array([0.0, 1.0]), (-10, -10, 10, 10), 0, 1)
    first, last = scale_colors(np.array([0.0, 1.0]), 0, 1)
    assert (picture[4, 20] == first).all() and (picture[20, 4] == last).all()
    assert (picture[20, 20] == 0).all()  # the sensor


def test_highest_point_is_seen():
    points = np.array([[5.0, 5, 2], [5, 5, 0], [90, 0, 0]])
    picture = draw_birds_eye(points, 40, np.array([1.0, 0, 0]), (-10, -10, 10, 10), 0, 1)
    assert (picture[10, 10] == scale_colors(np.array([1.0]), 0, 1)[0]).all()


def test_extent_is_a_square_round_all():
    x0, y0, x1, y1 = square_extent(np.array([[0.0, 0]]), np.array([[10.0, 4]]))
    assert x1 - x0 == pytest.approx(y1 - y0) == pytest.approx(10.2)
    assert (x0 + x1) / 2 == pytest.approx(5) and (y0 + y1) / 2 == pytest.approx(2)
