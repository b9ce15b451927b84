import numpy as np
import pytest

from mm3dpretrain.datasets.transforms import (
    NormalizePoints,
    RandomMirror,
    RandomScaleShift,
    RemoveNearest,
)


def results(num=100, **more):
    points = np.random.default_rng(0).uniform(-1, 1, (num, 4)).astype(np.float32)
    return dict(points=points, point_channels=('x', 'y', 'z', 'i'), sample_id='a', **more)


@pytest.mark.parametrize('index, corner', [(0, (1, 1, 1)), (3, (-1, 1, 1)), (7, (-1, -1, -1))])
def test_the_nearest_points_go(index, corner):
    data = results(viewpoint_index=index, gt_part=np.arange(100))
    points = data['points'].copy()
    made = RemoveNearest(ratio=0.25, viewpoint='corner')(data)
    by_distance = sorted(range(100), key=lambda i: ((points[i, :3] - corner) ** 2).sum())
    kept = sorted(by_distance[25:])
    np.testing.assert_array_equal(made['points'], points[kept])
    np.testing.assert_array_equal(made['gt_points'], points[:, :3])
    np.testing.assert_array_equal(made['gt_part'], kept)


def test_ratio_range_record_and_random_viewpoints():
    sizes = {len(RemoveNearest()(results())['points']) for _ in range(60)}
    assert min(sizes) >= 25 and max(sizes) <= 75 and len(sizes) > 15
    assert len(RemoveNearest()(results(crop_ratio=0.5))['points']) == 50
    kept = [RemoveNearest(0.5)(results())['points'] for _ in range(2)]
    assert not np.array_equal(*kept)
    # without an index the corner depends on the name alone
    named = [RemoveNearest(0.5, 'corner')(results())['points'] for _ in range(2)]
    np.testing.assert_array_equal(*named)


def test_complete_cloud_moves_along():
    data = RemoveNearest(0.5, 'corner')(results())
    data['kept'] = data['points'][:, :3].copy()
    for transform in (RandomMirror(), RandomScaleShift(), NormalizePoints()):
        data = transform(data)
    matrix = data['point_transform']
    moved = results()['points'][:, :3] @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(data['gt_points'], moved, atol=1e-5)
    assert data['gt_points'].dtype == np.float32
    partial = data['kept'] @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(data['points'][:, :3], partial, atol=1e-5)


def test_mirror():
    signs = set()
    for _ in range(40):
        data = RandomMirror(('x', 'z'))(results())
        ratio = data['points'][:, :3] / results()['points'][:, :3]
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=1e-5)
        signs.add(tuple(np.round(ratio[0]).astype(int)))
    assert signs == {(a, 1, b) for a in (1, -1) for b in (1, -1)}


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: RemoveNearest(0.0), 'ratio'),
        (lambda: RemoveNearest((0.5, 0.2)), 'ratio'),
        (lambda: RemoveNearest(0.5, 'top'), 'viewpoint'),
        (lambda: RandomMirror(('w',)), 'axes'),
        (lambda: RemoveNearest(0.1)(results(num=5)), 'cannot remove 0.10 of 5'),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
