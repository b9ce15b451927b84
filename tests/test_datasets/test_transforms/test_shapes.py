from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.datasets.transforms import DropPoints, FillColors, TiltPoints

RGB = ('r', 'g', 'b')


def sample(channels=('x', 'y', 'z'), num=400):
    points = np.random.rand(num, len(channels)).astype(np.float32)
    return dict(points=points, point_channels=channels)


def test_grey_where_there_is_no_colour():
    before = sample(('x', 'y', 'z', 'nx', 'ny', 'nz'), 5)
    points = before['points'].copy()
    after = FillColors()(before)
    assert after['point_channels'] == ('x', 'y', 'z', *RGB, 'nx', 'ny', 'nz')
    np.testing.assert_array_equal(after['points'][:, 3:6], np.float32(0.4))
    np.testing.assert_array_equal(after['points'][:, [0, 1, 2, 6, 7, 8]], points)
    assert after['points'].dtype == np.float32


def test_colours_are_dropped_as_often_as_asked():
    dropped = 0
    for _ in range(300):
        before = sample(('x', 'y', 'z', *RGB), 4)
        points = before['points']
        copy = points.copy()
        after = FillColors(drop_prob=0.5, grey=0.2)(before)['points']
        np.testing.assert_array_equal(after[:, :3], copy[:, :3])
        np.testing.assert_array_equal(points, copy)  # the input is not changed
        grey = (after[:, 3:] == np.float32(0.2)).all()
        assert grey or (after == copy).all()
        dropped += grey
    assert 110 < dropped < 190
    with pytest.raises(ValueError, match='must follow'):
        FillColors()(sample(('x', 'y', 'z', 'nx', 'ny', 'nz', *RGB)))
    with pytest.raises(ValueError, match='drop_prob'):
        FillColors(drop_prob=1.1)


def test_dropped_points_become_the_first():
    shares = []
    for _ in range(200):
        before = sample(('x', 'y', 'z', *RGB))
        copy = before['points'].copy()
        after = DropPoints(0.875)(before)['points']
        gone = (after != copy).any(1)
        assert (after[gone] == copy[0]).all() and len(after) == len(copy)
        shares.append(gone.mean())
    assert max(shares) < 0.95 and 0.35 < np.mean(shares) < 0.53
    with pytest.raises(ValueError, match='part labels'):
        DropPoints()(dict(sample(), gt_part=np.zeros(400, np.int64)))
    with pytest.raises(ValueError, match='max_ratio'):
        DropPoints(1.0)


def test_tilt_is_a_small_rotation():
    for _ in range(50):
        before = sample()
        copy = before['points'].copy()
        after = TiltPoints(sigma=0.3, clip=0.18)(before)
        rotation = after['point_transform'][:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(after['points'], copy @ rotation.T, atol=1e-5)
        # three angles of at most 0.18 make less than their sum
        assert np.arccos((np.trace(rotation) - 1) / 2) < 0.54
    with pytest.raises(ValueError, match='sigma'):
        TiltPoints(sigma=-1)
