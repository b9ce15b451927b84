"""Settings of rendered data sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.view_settings import Settings, build_views, find_view_set, view_sets

ORBIT = dict(type='OrbitViews', num_views=4, elevation=[10, 40], distance=2.8)


def test_view_sets_by_name():
    assert find_view_set('orbit') == find_view_set('OrbitViews') == 'OrbitViews'
    assert find_view_set('cube-corner') == find_view_set('cube_corner_views') == 'CubeCornerViews'
    with pytest.raises(ValueError, match="no view set 'spiral', there are.*OrbitViews"):
        find_view_set('spiral')


def test_every_view_set_builds():
    for spec, count in (
        (dict(type='CubeCornerViews'), 8),
        (dict(type='RandomViews', num_views=3), 3),
        (ORBIT, 4),
    ):
        cameras = build_views(spec, (20, 30))(torch.Generator().manual_seed(0))
        assert cameras.num_views == count and cameras.image_size == (20, 30)


def test_sets_of_another_up_axis_are_not_offered():
    assert 'CubeCornerViews' in view_sets() and 'SpareNetViews' not in view_sets()
    with pytest.raises(ValueError, match="no view set 'SpareNetViews'"):
        find_view_set('SpareNetViews')


def test_orbits_are_turned_against_each_other():
    cameras = build_views({**ORBIT, 'num_views': 8}, (8, 8))(None)
    x, y, z = cameras.centers[0].T.double()
    azimuth = np.sort(np.degrees(np.arctan2(x, z)) % 360)
    np.testing.assert_allclose(np.diff(azimuth), 45, atol=1e-3)
    elevation = np.degrees(np.arcsin(y / 2.8))
    np.testing.assert_allclose(elevation, [10] * 4 + [40] * 4, atol=1e-3)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(layouts=('other',)), 'layouts must be'),
        (dict(up_axis='x'), 'up_axis'),
        (dict(normalize='unit'), 'normalize'),
        (dict(num_points=0), 'num_points'),
        (dict(background=(0, 0, 256)), 'background'),
        (dict(views=dict(type='OrbitViews', num_views=5, elevation=[1, 2])), 'multiple of the 2'),
        (dict(views=dict(type='CubeCornerViews', num_views=5)), 'num_views'),
        (dict(views=dict(type='OrbitViews', fov=200)), 'fov must lie'),
        (dict(views=dict(type='OrbitViews', scale=2.0)), 'scale=2.0 means nothing to perspective'),
        (dict(views=dict(type='CubeCornerViews', fov=30)), 'fov=30 means nothing to orthographic'),
        (dict(views=dict(type='RandomViews', elevation=[10.0])), 'lowest and highest elevation'),
        (dict(views=dict(type='RandomViews', elevation=10)), 'lowest and highest elevation'),
        (dict(views=dict(type='CubeCornerViews'), layouts=('rgbd',)), 'perspective'),
        (dict(image_size=(0, 8)), 'image_size'),
    ],
)
def test_impossible_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)
