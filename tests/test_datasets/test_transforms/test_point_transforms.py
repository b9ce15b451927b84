"""Sampling, normalising and augmenting clouds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.transforms import (
    JitterPoints,
    NormalizePoints,
    RandomRotate,
    RandomScaleShift,
    SamplePoints,
)
from mm3dpretrain.datasets.transforms.base import XYZ
from mm3dpretrain.datasets.transforms.points import axis_rotation, random_rotation


def sample(num=300, seed=0, normals=False):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(num, 3)).astype(np.float32) * 2 + 5
    channels = XYZ
    if normals:
        normal = rng.normal(size=(num, 3))
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        points = np.concatenate([points, normal.astype(np.float32)], 1)
        channels += ('nx', 'ny', 'nz')
    return dict(points=points, point_channels=channels, gt_part=np.arange(num), gravity_axis='y')


def check_account(before, results):
    """``point_transform`` maps the stored points to the current ones."""
    matrix = results['point_transform']
    moved = before['points'][:, :3] @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(results['points'][:, :3], moved, atol=1e-4)


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize('method', ['random', 'fps', 'first'])
def test_sample(method):
    before = sample()
    results = SamplePoints(100, method)(dict(before))
    assert results['points'].shape == (100, 3)
    assert len(set(results['gt_part'].tolist())) == 100
    np.testing.assert_array_equal(results['points'], before['points'][results['gt_part']])
    if method == 'first':
        assert results['gt_part'].tolist() == list(range(100))


def test_sample_random_differs_and_is_seeded():
    draws = [SamplePoints(100)(sample())['gt_part'].tolist() for _ in range(2)]
    assert draws[0] != draws[1]
    np.random.seed(7)
    first = SamplePoints(100)(sample())['gt_part'].tolist()
    np.random.seed(7)
    assert first == SamplePoints(100)(sample())['gt_part'].tolist()


def test_sample_all_points_is_a_permutation():
    results = SamplePoints(300)(sample())
    assert sorted(results['gt_part']) == list(range(300))


def test_sample_random_is_uniform():
    counts = np.zeros(20)
    for _ in range(600):
        counts[SamplePoints(5)(sample(20))['gt_part']] += 1
    assert counts.min() > 100 and counts.max() < 200  # 150 expected, sigma about 11


def test_fps_covers_better_than_chance():
    def coverage(results):
        distance = torch.cdist(
            torch.from_numpy(sample(2000)['points']), torch.from_numpy(results['points'])
        )
        return float(distance.min(1).values.max())

    assert coverage(SamplePoints(64, 'fps')(sample(2000))) < 0.7 * coverage(
        SamplePoints(64)(sample(2000))
    )


def test_pre_fps_draws_from_the_far_points():
    far = set(SamplePoints(120, 'fps')(sample())['gt_part'].tolist())
    drawn = SamplePoints(100, pre_fps=120)(sample())['gt_part'].tolist()
    assert len(set(drawn)) == 100 and set(drawn) <= far
    # a cloud smaller than pre_fps is drawn from whole
    assert len(SamplePoints(100, pre_fps=400)(sample())['points']) == 100


def test_too_few_points():
    with pytest.raises(ValueError, match='400 points wanted, the cloud has 300.*allow_repeat'):
        SamplePoints(400)(sample())
    results = SamplePoints(400, allow_repeat=True)(sample())
    assert len(results['points']) == 400
    assert set(results['gt_part']) == set(range(300))


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(num_points=0),
        dict(num_points=10, method='grid'),
        dict(num_points=10, pre_fps=5),
        dict(num_points=10, method='fps', pre_fps=20),
    ],
)
def test_sample_bad_arguments(kwargs):
    with pytest.raises(ValueError):
        SamplePoints(**kwargs)


# ---------------------------------------------------------------- normalising


def test_normalize_unit_sphere():
    before = sample()
    results = NormalizePoints()(dict(before))
    np.testing.assert_allclose(results['points'].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(results['points'], axis=1).max(), 1, atol=1e-6)
    assert results['normalization'] == 'unit_sphere'
    check_account(before, results)
    # the input of the transform is not changed in place
    np.testing.assert_array_equal(before['points'], sample()['points'])


def test_normalize_variants():
    before = sample()
    box = NormalizePoints(center='bbox')(dict(before))['points']
    np.testing.assert_allclose(box.min(0) + box.max(0), 0, atol=1e-5)
    moved = NormalizePoints(scale=False)(dict(before))
    np.testing.assert_allclose(
        moved['points'], before['points'] - before['points'].mean(0), atol=1e-5
    )
    assert 'normalization' not in moved
    scaled = NormalizePoints(center='none')(dict(before))['points']
    assert np.linalg.norm(scaled, axis=1).max() == pytest.approx(1)
    assert scaled.mean() > 0.3
    with pytest.raises(ValueError, match='center'):
        NormalizePoints(center='median')


@pytest.mark.parametrize('value', [0.0, 0.1, 1e6])
def test_normalize_refuses_a_single_place(value):
    results = dict(points=np.full((10, 3), value, np.float32), point_channels=XYZ)
    with pytest.raises(ValueError, match='coincide'):
        NormalizePoints()(results)


def test_normalize_leaves_normals():
    before = sample(normals=True)
    results = NormalizePoints()(dict(before))
    np.testing.assert_allclose(results['points'][:, 3:], before['points'][:, 3:], atol=1e-6)


# ---------------------------------------------------------------- augmentation


def test_scale_shift():
    before = sample()
    factors, offsets = [], []
    for _ in range(50):
        results = RandomScaleShift()(dict(before))
        check_account(before, results)
        matrix = results['point_transform']
        assert np.count_nonzero(matrix[:3, :3] - np.diag(np.diag(matrix[:3, :3]))) == 0
        factors.append(np.diag(matrix)[:3])
        offsets.append(matrix[:3, 3])
    factors, offsets = np.array(factors), np.array(offsets)
    assert 2 / 3 <= factors.min() < 0.75 and 1.4 < factors.max() <= 1.5
    assert -0.2 <= offsets.min() < -0.15 and 0.15 < offsets.max() <= 0.2
    assert np.ptp(factors, axis=1).min() > 0  # every axis its own
    for scale, shift in (((0, 1), 0.2), ((2, 1), 0.2), ((1, 1), -1)):
        with pytest.raises(ValueError):
            RandomScaleShift(scale, shift)


def test_scale_turns_normals():
    """A plane stays perpendicular to its normal under unequal scales."""
    plane = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    plane[:, 2] = -plane[:, 0] - 2 * plane[:, 1]
    normal = np.tile(np.float32([1, 2, 1]) / np.sqrt(6), (50, 1))
    results = dict(
        points=np.concatenate([plane, normal], 1),
        point_channels=(*XYZ, 'nx', 'ny', 'nz'),
        gravity_axis='y',
    )
    results = RandomScaleShift(shift=0)(results)
    results = RandomRotate('so3')(results)
    points, normal = results['points'][:, :3], results['points'][:, 3:]
    np.testing.assert_allclose((points * normal).sum(1), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize('axis, index', [('x', 0), ('y', 1), ('z', 2), ('gravity', 1)])
def test_rotate_about_an_axis(axis, index):
    before = sample()
    results = RandomRotate(axis)(dict(before))
    np.testing.assert_allclose(results['points'][:, index], before['points'][:, index], atol=1e-5)
    assert not np.allclose(results['points'], before['points'])
    check_account(before, results)
    assert results['gravity_axis'] == ('y' if index == 1 else 'none')


def test_rotation_conventions():
    np.testing.assert_allclose(axis_rotation('z', np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(axis_rotation('x', np.pi / 2) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(axis_rotation('y', np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-12)


def test_max_angle():
    angles = []
    for _ in range(50):
        matrix = RandomRotate('z', max_angle=30)(sample())['point_transform']
        angles.append(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
    assert -30 <= min(angles) < -15 and 15 < max(angles) <= 30


def test_random_rotation_is_uniform():
    rotations = np.stack([random_rotation() for _ in range(2000)])
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (2000, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    # moments of a uniform rotation: entries have mean 0 and variance 1/3
    np.testing.assert_allclose(rotations.mean(0), 0, atol=0.06)
    np.testing.assert_allclose((rotations**2).mean(0), 1 / 3, atol=0.04)


def test_so3_loses_gravity_and_gravity_must_be_known():
    assert RandomRotate('so3')(sample())['gravity_axis'] == 'none'
    with pytest.raises(ValueError, match="gravity axis is 'none'"):
        RandomRotate()({**sample(), 'gravity_axis': 'none'})
    with pytest.raises(ValueError, match='axis must be'):
        RandomRotate('up')
    with pytest.raises(ValueError, match='max_angle'):
        RandomRotate('z', max_angle=0)


def test_jitter():
    before = sample(5000, normals=True)
    results = JitterPoints(sigma=0.02, clip=0.05)(dict(before))
    change = results['points'] - before['points']
    assert (change[:, 3:] == 0).all()
    assert np.abs(change).max() <= 0.05 + 1e-5
    assert 0.018 < change[:, :3].std() < 0.021
    with pytest.raises(ValueError):
        JitterPoints(sigma=-1)


def test_account_over_several_steps():
    before = sample()
    results = dict(before)
    for transform in (NormalizePoints(), RandomScaleShift(), RandomRotate('so3')):
        results = transform(results)
    check_account(before, results)
