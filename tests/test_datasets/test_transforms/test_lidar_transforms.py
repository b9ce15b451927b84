"""Transforms of LiDAR scans: two views, cuts, samples, depth pictures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.projection import project_points
from mm3dpretrain.datasets.transforms import (
    LidarDepth,
    LoadLidar,
    PointsInPicture,
    PointsInRange,
    SampleLidar,
    TurnLidar,
    TwoViewPoints,
)
from mm3dpretrain.datasets.transforms.lidar import view_transform

CENTER = (35.2, 0.0, -1.0)


@pytest.fixture
def frame():
    """A scan all round, and two cameras: forward, and a flatter picture to the left."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-40, -40, -3, 0], [40, 40, 3, 1], (4000, 4)).astype(np.float32)
    lens = np.array([[50.0, 0, 60, 1], [0, 50, 20, 2], [0, 0, 1, 0.1], [0, 0, 0, 1]])
    forward = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, -0.3], [0, 0, 0, 1.0]])
    left = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0.2], [0, 0, 0, 1.0]])
    return dict(
        points=points,
        lidar_path='a.bin',
        sample_id='a',
        images=[dict(camera='F'), dict(camera='L')],
        lidar2img=np.stack([lens @ forward, lens @ left]),
        img_shape=[(40, 120), (30, 120)],
    )


def naive_project(frame):
    """Point by point."""
    points, shapes = frame['points'].astype(np.float64), frame['img_shape']
    uv = np.zeros((len(shapes), len(points), 2))
    inside = np.zeros((len(shapes), len(points)), bool)
    for view, matrix in enumerate(frame['lidar2img']):
        for n, point in enumerate(points):
            x = matrix @ [*point[:3], 1]
            if x[2] > 1e-6:
                u, v = x[0] / x[2], x[1] / x[2]
                uv[view, n] = u, v
                inside[view, n] = 0 <= u < shapes[view][1] and 0 <= v < shapes[view][0]
    return uv, inside


# --------------------------------------------------------------------------- two views


def test_golden_augmentation(golden):
    arrays = golden('simipu/augmentation_inverse.npz')
    for case in range(2):
        get = lambda key: arrays[f'case{case}/{key}']  # noqa: B023, E731
        assert not get('flip_x')
        matrix = view_transform(
            float(get('angle')), float(get('scale')), (0, 0, 0), bool(get('flip_y')), get('center')
        )
        points = get('points').astype(np.float64)
        moved = points @ matrix[:3, :3].T + matrix[:3, 3]
        assert moved == pytest.approx(get('augmented').astype(np.float64), abs=1e-4)
        back = np.linalg.inv(matrix)
        restored = get('augmented').astype(np.float64) @ back[:3, :3].T + back[:3, 3]
        assert restored == pytest.approx(points, abs=1e-4)
        assert restored == pytest.approx(get('restored').astype(np.float64), abs=1e-4)


@pytest.mark.parametrize(
    'flip, scale, turn, shift', itertools.product((0.0, 1.0), (1.0, 0.8), (0.0, 1.2), (0.0, 0.5))
)
def test_inverse_of_every_combination(frame, flip, scale, turn, shift):
    original = frame['points'].copy()
    view = TwoViewPoints(
        num_points=None, rotation=(turn, turn), scale=(scale, scale), flip=flip,
        translation_std=shift,
    )  # fmt: skip
    out = view(frame)
    moved, matrix = out['points_aug'], out['transform']
    back = np.linalg.inv(matrix)
    restored = moved[:, :3].astype(np.float64) @ back[:3, :3].T + back[:3, 3]
    # the same points in another order: sort both by the intensity, which nothing changes
    a, b = np.argsort(out['points'][:, 3]), np.argsort(moved[:, 3])
    assert restored[b] == pytest.approx(out['points'][a, :3].astype(np.float64), abs=2e-5)
    assert (np.sort(original[:, 3]) == np.sort(out['points'][:, 3])).all()
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx((-1 if flip else 1) * scale**3)
    # the centre stays where the scale puts it, but for mirror and shift
    if not flip and not shift:
        assert matrix @ [*CENTER, 1] == pytest.approx([*(scale * np.array(CENTER)), 1])
    assert (matrix[3] == [0, 0, 0, 1]).all()


def test_views_are_shuffled_independently(frame):
    out = TwoViewPoints(num_points=500, flip=0.0)(dict(frame))
    a, b = out['points'][:, 3], out['points_aug'][:, 3]
    assert (a != b).mean() > 0.9 and (np.sort(a) == np.sort(b)).all()
    other = TwoViewPoints(num_points=500, flip=0.0, same_points=False)(dict(frame))
    common = set(other['points'][:, 3]) & set(other['points_aug'][:, 3])
    assert 0 < len(common) < 500


def test_mirror_follows_the_pictures(frame):
    for flipped in (True, False):
        out = TwoViewPoints(num_points=8, flip='image')(dict(frame, img_flipped=flipped))
        assert (np.linalg.det(out['transform'][:3, :3]) < 0) == flipped
    with pytest.raises(ValueError, match='needs FlipPictures before it'):
        TwoViewPoints(num_points=8)(frame)


def test_ranges_are_used(frame):
    turns, scales, mirrors, shifts = [], [], [], []
    view = TwoViewPoints(num_points=8, flip=0.5, translation_std=0.1, center=(0, 0, 0))
    for _ in range(300):
        matrix = view(dict(frame))['transform']
        scale = np.cbrt(abs(np.linalg.det(matrix[:3, :3])))
        mirror = np.linalg.det(matrix[:3, :3]) < 0
        rotation = np.diag([1, -1 if mirror else 1, 1]) @ matrix[:3, :3] / scale
        turns.append(np.arctan2(rotation[1, 0], rotation[0, 0]))
        scales.append(scale)
        mirrors.append(mirror)
        shifts.append(matrix[:3, 3])
    for values, low, high in ((turns, -np.pi / 2, np.pi / 2), (scales, 0.75, 1.25)):
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert np.mean(mirrors) == pytest.approx(0.5, abs=0.1)
    assert np.std(shifts) == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(num_points=0), 'num_points must be positive'),
        (dict(num_points=None, same_points=False), 'it needs num_points'),
        (dict(rotation=(1, 0)), 'low <= high for rotation'),
        (dict(scale=(0, 1)), '0 < low <= high for scale'),
        (dict(translation_std=-1), 'translation_std'),
        (dict(flip='yes'), "probability or 'image', got 'yes'"),
        (dict(flip=2.0), 'got 2.0'),
        (dict(center=(1, 2)), r'center must be \(x, y, z\)'),
    ],
)
def test_impossible_views(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TwoViewPoints(**kwargs)


# --------------------------------------------------------------------------- cuts and samples


def test_range(frame):
    low, high = np.array([0, -40, -3]), np.array([70.4, 40, 1])
    before = frame['points']
    after = PointsInRange([*low, *high])(frame)['points']
    expected = [p for p in before if all(low < p[:3]) and all(p[:3] < high)]
    assert 0 < len(after) < len(before) and (after == np.array(expected)).all()
    frame['points'] = before
    with pytest.raises(SampleError, match=r'a\.bin: none of 4000 points is between \[50'):
        PointsInRange([50, 0, 0, 60, 1, 1])(frame)
    for wrong in ([1, 2, 3], [0, 0, 0, 1, 1, 0]):
        with pytest.raises(ValueError, match='3 lower, 3 upper'):
            PointsInRange(wrong)


def test_projection_against_a_naive_loop(frame):
    uv, z, inside = project_points(frame['points'], frame['lidar2img'], frame['img_shape'])
    expected_uv, expected = naive_project(frame)
    assert (inside == expected).all() and (inside.sum(axis=1) > 100).all()
    assert uv[inside] == pytest.approx(expected_uv[inside])
    assert (z[inside] > 0).all()


def test_edges_of_the_picture():
    # u = x / z, v = y / z at depth 1: the picture is [0, 4) x [0, 2)
    matrix = np.eye(4)[None]
    points = np.array(
        [[0, 0, 1], [3.999, 1.999, 1], [4, 1, 1], [1, 2, 1], [-0.001, 1, 1], [1, 1, -1], [1, 1, 0]]
    )
    inside = project_points(points, matrix, [(2, 4)])[2][0]
    assert inside.tolist() == [True, True, False, False, False, False, False]


def test_points_in_any_picture(frame):
    before, inside = frame['points'], naive_project(frame)[1].any(axis=0)
    after = PointsInPicture()(frame)['points']
    assert (after == before[inside]).all()
    frame['points'] = before[~inside]
    with pytest.raises(SampleError, match=r"a\.bin: 0 of \d+ points lie in the pictures of \['F'"):
        PointsInPicture(min_points=1)(frame)
    few = before[inside][:5]
    assert len(PointsInPicture(min_points=5)(dict(frame, points=few))['points']) == 5
    with pytest.raises(SampleError, match='5 of 5 points .* 6 wanted'):
        PointsInPicture(min_points=6)(dict(frame, points=few))


@pytest.mark.parametrize('stride', [1, 4, 7])
def test_depth_picture_against_a_naive_loop(frame, stride):
    uv, z, inside = project_points(frame['points'], frame['lidar2img'], frame['img_shape'])
    out = LidarDepth(stride)(frame)
    height, width = -(-40 // stride), -(-120 // stride)
    expected = np.zeros((2, height, width))
    for view, n in zip(*np.nonzero(inside)):
        row, column = int(uv[view, n, 1] // stride), int(uv[view, n, 0] // stride)
        old = expected[view, row, column]
        expected[view, row, column] = min(old or np.inf, z[view, n])
    assert out['depth'].shape == (2, height, width) and out['depth_stride'] == stride
    assert out['depth'] == pytest.approx(expected) and (expected > 0).any()
    # the second picture is less high
    assert (out['depth'][1, -(-30 // stride) :] == 0).all()


def test_hidden_points_are_found(frame):
    """A wall at 10 m hides what is behind it and nothing else."""
    y, z = np.meshgrid(np.linspace(-3, 0, 200), np.linspace(-1, 1, 200))
    wall = np.stack([np.full(y.size, 10.0), y.ravel(), z.ravel(), 0 * z.ravel()], 1)
    behind = np.array([[20, -2, 0, 0], [20, 2.0, 0, 0], [5, -0.5, 0, 0]])
    frame['points'] = np.concatenate([wall, behind]).astype(np.float32)
    out = LidarDepth(4)(frame)
    uv, z, inside = project_points(behind, frame['lidar2img'], frame['img_shape'])
    assert inside[0].all()
    column, row = (uv[0] // 4).astype(int).T
    hidden = z[0] > 1.05 * out['depth'][0, row, column]
    assert hidden.tolist() == [True, False, False]


def test_sample(frame):
    before = {tuple(p) for p in frame['points']}
    out = SampleLidar(100)(dict(frame))['points']
    assert len({tuple(p) for p in out}) == 100 and {tuple(p) for p in out} <= before
    frame['points'] = frame['points'][:30]
    few = SampleLidar(100)(dict(frame))['points']
    # every point is there before one is repeated
    assert len(few) == 100 and len({tuple(p) for p in few}) == 30
    fixed = SampleLidar(20, fixed=True)
    a, b = fixed(dict(frame))['points'], fixed(dict(frame))['points']
    assert (a == b).all() and (a != fixed(dict(frame, sample_id='b'))['points']).any()
    with pytest.raises(ValueError, match='num_points must be positive'):
        SampleLidar(0)


def test_arguments_of_load_lidar(tmp_path):
    for kwargs in (dict(use_dim=3), dict(num_sweeps=-1), dict(min_distance=-1.0)):
        with pytest.raises(ValueError, match='need use_dim >= 4'):
            LoadLidar(**kwargs)
    record = dict(lidar_path=str(tmp_path / 'a.bin'), num_pts_feats=4, intensity_scale=1.0)
    with pytest.raises(ValueError, match=r'use_dim=5, .*a\.bin has 4 columns'):
        LoadLidar(use_dim=5)(record)
    np.float32([[3, 4, 0, 0.5]]).tofile(record['lidar_path'])
    assert len(LoadLidar(min_distance=5.0)(dict(record))['points']) == 1
    with pytest.raises(SampleError, match=r'a\.bin: no point is 5\.1 m or farther'):
        LoadLidar(min_distance=5.1)(dict(record))
    with pytest.raises(ValueError, match='stride must be positive'):
        LidarDepth(0)
    with pytest.raises(ValueError, match='min_points must be positive'):
        PointsInPicture(0)


def test_turned_scans_keep_their_pixels(frame):
    pixels, depth, seen = project_points(frame['points'], frame['lidar2img'], frame['img_shape'])
    np.random.seed(1)
    turned = TurnLidar(rotation=(0.5, 0.6), scale=(1.1, 1.2), flip=1.0)(
        dict(frame, points=frame['points'].astype(np.float64))
    )
    away = np.linalg.norm(turned['points'][:, :3], axis=1)
    ratio = away / np.linalg.norm(frame['points'][:, :3], axis=1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    assert 1.1 <= ratio[0] <= 1.2
    again = project_points(turned['points'], turned['lidar2img'], turned['img_shape'])
    np.testing.assert_allclose(again[0][seen], pixels[seen], atol=1e-3)
    np.testing.assert_allclose(again[1][seen], depth[seen], rtol=1e-5)
    assert np.array_equal(again[2], seen)
    np.testing.assert_array_equal(turned['points'][:, 3:], frame['points'][:, 3:])


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(rotation=(1, 0)), 'need low <= high'),
        (dict(scale=(0, 1)), 'need low <= high'),
        (dict(flip=2), 'flip must be in'),
    ],
)
def test_impossible_turns(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TurnLidar(**kwargs)
