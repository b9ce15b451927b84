"""Transforms of views of RGB-D scans: whatever they do, projecting the cloud stays exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.frame_grids import color_on_depth_grid, depth_on_color_grid
from mm3dpretrain.datasets.frame_matching import depth_at, lift, project
from mm3dpretrain.datasets.transforms import (
    ColorJitterView,
    DropDepth,
    LoadFrames,
    LoadSceneCloud,
    PackFrames,
    ResizeFrames,
    RotateScaleScene,
    SampleCorrespondences,
    SamplePoints,
)
from mm3dpretrain.datasets.transforms.frames import loaded_views
from mm3dpretrain.models import PretrainDataPreprocessor
from tests.frame_sets import CAMERA, SIZE, box_depth, picture, poses, save_depth, save_picture


@pytest.fixture
def record(tmp_path):
    """Four exact views; ``record(color_size=...)`` for colour of another size."""

    def make(color_size=None, views=(0, 1, 1, 2)):
        frames = []
        for view in views:
            pose = poses()[view]
            size = color_size or SIZE
            camera = np.diag([size[1] / SIZE[1], size[0] / SIZE[0], 1.0]) @ CAMERA
            paths = tmp_path / f'{view}_{size[0]}.png', tmp_path / f'{view}.npy'
            save_picture(paths[0], picture(pose, camera, size))
            np.save(paths[1], box_depth(pose))
            frame = dict(
                frame_id=str(view),
                img_path=str(paths[0]),
                depth_path=str(paths[1]),
                depth_scale=1000,
                cam2img=camera,
                cam2world=pose,
            )
            if color_size:
                frame['depth_cam2img'] = CAMERA
            frames.append(frame)
        return dict(
            sample_id='room/0-1',
            scene='room',
            frames=frames,
            cloud_path=None,
            cloud_align=np.eye(4),
            gravity_axis='z',
            depth_range=(0.1, 10.0),
        )

    return make


def run(results, *steps):
    for step in steps:
        results = step(results)
    return results


def box_points(results) -> np.ndarray:
    """World positions of all pixels, by the geometry of the views as they are now."""
    return np.concatenate(
        [lift(uv, depth_at(uv, v), v) for v in loaded_views(results) for uv in [centres(v.depth)]]
    )


def centres(depth):
    return np.stack(np.nonzero(depth)[::-1], 1) + 0.5


@pytest.mark.parametrize(
    'steps',
    [
        [],
        [ResizeFrames((45, 90))],
        [ResizeFrames((90, 60), keep_ratio=True)],
        [ResizeFrames((50, 70), divisor=14)],
        [RotateScaleScene(180, (0.5, 2.0))],
        [ResizeFrames((40, 70), keep_ratio=True, divisor=14), RotateScaleScene(90, (0.8, 1.2))],
    ],
    ids=['none', 'resize', 'pad', 'divisor', 'turn', 'all'],
)
def test_round_trip(record, steps):
    results = run(record(), LoadFrames(), LoadSceneCloud(0), *steps)
    results['depth'] = results['depth'].astype(np.float64)
    views = loaded_views(results)
    assert results['img'].shape == (*results['depth'].shape, 3)
    for view in views:
        uv = centres(view.depth)
        back, z = project(lift(uv, depth_at(uv, view), view), view)
        assert np.abs(back - uv).max() < 1e-4
        np.testing.assert_allclose(z, depth_at(uv, view), atol=1e-9)
        # again a rigid motion, so that the transpose of the rotation is its inverse
        rotation = view.extrinsics[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) > 0


def test_the_same_points_before_and_after(record):
    """What a pixel shows does not depend on how the views were resized and the cloud moved."""
    np.random.seed(3)
    results = run(record(), LoadFrames(), LoadSceneCloud(0))
    assert len(results['points']) == 4 * SIZE[0] * SIZE[1]
    before = [project(results['points'][:, :3], view) for view in loaded_views(results)]
    results = run(results, ResizeFrames((120, 200)), RotateScaleScene(180, (0.5, 2.0)))
    factor = np.cbrt(np.linalg.det(results['point_transform'][:3, :3]))
    assert abs(factor - 1) > 0.05
    for view, (uv, z) in zip(loaded_views(results), before):
        after, depth = project(results['points'][:, :3].astype(np.float64), view)
        front = z > 0.2
        # the cloud is in single precision
        np.testing.assert_allclose(after[front], uv[front] * [2.5, 2.0], atol=0.02)
        np.testing.assert_allclose(depth[front], z[front] * factor, rtol=1e-4)
        seen = depth_at(after, view)
        near = (seen > 0) & front
        assert np.median(np.abs(seen - depth)[near]) < 0.02


def test_depth_of_a_resized_view_is_that_of_its_pixels(record):
    results = run(record(views=(0, 1)), LoadFrames(), ResizeFrames((30, 40)))
    camera = np.diag([0.5, 0.5, 1]) @ CAMERA
    np.testing.assert_allclose(results['intrinsics'][0], camera)
    np.testing.assert_allclose(
        results['depth'][0], box_depth(poses()[0], camera, (30, 40)), atol=0.06
    )
    padded = run(record(views=(0, 1)), LoadFrames(), ResizeFrames((30, 60), keep_ratio=True))
    np.testing.assert_array_equal(padded['depth'][:, :, :40], results['depth'])
    assert not padded['depth'][:, :, 40:].any() and not padded['img'][:, :, 40:].any()
    np.testing.assert_array_equal(padded['intrinsics'], results['intrinsics'])
    assert padded['view_scale'] == (0.5, 0.5)


@pytest.mark.parametrize('color_size', [(120, 160), (100, 160), (30, 40)])
@pytest.mark.parametrize('grid', ['depth', 'color'])
def test_colour_and_depth_of_different_size(record, color_size, grid):
    results = run(record(color_size, views=(0, 1)), LoadFrames(grid))
    size = SIZE if grid == 'depth' else color_size
    assert results['depth'].shape == (2, *size) and results['img'].shape == (2, *size, 3)
    for view in range(2):
        camera = results['intrinsics'][view]
        shown = picture(poses()[view], camera, size).astype(int)
        error = np.abs(results['img'][view].astype(int) - shown)[2:-2, 2:-2]
        assert np.median(error) <= 2 and error.mean() < 4
        depth = box_depth(poses()[view], camera, size)
        assert np.median(np.abs(results['depth'][view] - depth)) < 0.03


def test_grids_equal_naive_loops():
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 2, (20, 30)).astype(np.float32)
    camera = np.array([[25.0, 0, 14], [0, 24, 11], [0, 0, 1]])
    target = np.array([[40.0, 0, 26], [0, 42, 15], [0, 0, 1]])
    found = depth_on_color_grid(depth, camera, target, (33, 48))
    for i in range(33):
        for j in range(48):
            u, v, _ = camera @ np.linalg.inv(target) @ [j + 0.5, i + 0.5, 1]
            inside = 0 <= u < 30 and 0 <= v < 20
            assert found[i, j] == (depth[int(v), int(u)] if inside else 0)
    # a linear ramp is kept by area means and bilinear sampling
    ramp = np.add.outer(2.0 * np.arange(33), 3.0 * np.arange(48))[..., None] + [0, 5, 10]
    image = np.rint(ramp).astype(np.uint8)
    got = color_on_depth_grid(image, target, camera, (20, 30))
    for i in range(3, 17):
        for j in range(3, 27):
            u, v, _ = target @ np.linalg.inv(camera) @ [j + 0.5, i + 0.5, 1]
            if 2 < u < 46 and 2 < v < 31:
                wanted = 2 * (v - 0.5) + 3 * (u - 0.5) + np.array([0, 5, 10])
                assert np.abs(got[i, j] - wanted).max() < 2.5


def test_cloud_of_the_views(record):
    results = run(record(), LoadFrames(), LoadSceneCloud(0))
    assert results['points'].dtype == np.float32
    np.testing.assert_allclose(results['points'][:, :3], box_points(results), atol=1e-5)
    # the colour says where a point is
    half = np.array([2.5, 2.0, 1.4])
    where = (2 * results['points'][:, 3:] - 1) * half
    np.testing.assert_allclose(where, results['points'][:, :3], atol=0.02)
    thin = run(record(), LoadFrames(), LoadSceneCloud(0.2))['points'][:, :3]
    low = results['points'][:, :3].min(0)
    cells = np.floor((thin - low) / 0.2).astype(int)
    assert len(np.unique(cells, axis=0)) == len(cells) < 4000


def test_cloud_of_a_file(record, tmp_path):
    cloud = np.random.default_rng(0).uniform(0, 1, (50, 6)).astype(np.float32)
    cloud[:, 3:] *= 255
    align = np.eye(4)
    align[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    align[:3, 3] = 1, 2, 3
    cloud.tofile(tmp_path / 'a.bin')
    np.save(tmp_path / 'a.npy', cloud)
    np.savez(tmp_path / 'a.npz', xyz=cloud[:, :3], rgb=np.rint(cloud[:, 3:]).astype(np.uint8))
    for name in ('a.bin', 'a.npy', 'a.npz'):
        results = dict(record(), cloud_path=str(tmp_path / name), cloud_align=align)
        points = LoadSceneCloud()(results)['points']
        np.testing.assert_allclose(points[:, 0], 1 - cloud[:, 1], atol=1e-6)
        np.testing.assert_allclose(points[:, 2], cloud[:, 2] + 3, atol=1e-6)
        np.testing.assert_allclose(points[:, 3:], cloud[:, 3:] / 255, atol=0.003)
    np.save(tmp_path / 'grey.npy', cloud[:, :3])
    grey = LoadSceneCloud()(dict(record(), cloud_path=str(tmp_path / 'grey.npy')))
    assert (grey['points'][:, 3:] == 0.5).all()
    (tmp_path / 'cut.bin').write_bytes(cloud.tobytes()[:-4])
    with pytest.raises(SampleError, match='truncated'):
        LoadSceneCloud()(dict(record(), cloud_path=str(tmp_path / 'cut.bin')))
    np.save(tmp_path / 'loud.npy', 2 * cloud)
    with pytest.raises(SampleError, match='colours must be'):
        LoadSceneCloud()(dict(record(), cloud_path=str(tmp_path / 'loud.npy')))


def test_correspondences(record):
    steps = LoadFrames(), LoadSceneCloud(), ResizeFrames((90, 120)), RotateScaleScene(180, (0.8, 1))
    results = run(record(), *steps, SampleCorrespondences(100))
    assert results['queries'].shape == results['targets'].shape == (4, 100, 2)
    assert results['query_valid'].dtype == bool and results['query_valid'].all()
    np.testing.assert_array_equal(results['targets'][[1, 0, 3, 2]], results['queries'])
    views = loaded_views(results)
    for v in range(4):
        query, target = results['queries'][v], results['targets'][v]
        start = (query % 1 == 0.5).all(1)
        assert start.sum() == 50
        uv, z = project(lift(query, depth_at(query, views[v]), views[v]), views[v ^ 1])
        np.testing.assert_allclose(uv[start], target[start], atol=1e-9)
        assert np.linalg.norm(uv - target, axis=1).max() <= 1.01
        assert np.abs(z - depth_at(target, views[v ^ 1])).max() < 0.05
    # the seed decides
    for seed, same in ((0, True), (1, False)):
        np.random.seed(0)
        one = SampleCorrespondences(50)(dict(results))['queries']
        np.random.seed(seed)
        assert np.array_equal(SampleCorrespondences(50)(dict(results))['queries'], one) == same


def test_views_without_overlap(record):
    results = run(record(views=(0, 5)), LoadFrames())
    with pytest.raises(SampleError, match='0 pixels are seen by both'):
        SampleCorrespondences(10)(dict(results))
    allowed = SampleCorrespondences(10, min_valid=0)(dict(results))
    assert not allowed['query_valid'].any() and not allowed['queries'].any()


def test_drop_depth(record):
    results = run(record(), LoadFrames())
    before = results['depth']
    after = DropDepth(4, 0.5)(dict(results))['depth']
    gone = after == 0
    assert 0.02 < gone.mean() < 0.8 and not (before == 0).any()
    np.testing.assert_array_equal(after[~gone], before[~gone])
    assert len({view.tobytes() for view in gone}) == 4


def test_pack_and_collate(record):
    steps = [
        LoadFrames(),
        LoadSceneCloud(0),
        SamplePoints(128),
        SampleCorrespondences(16),
        ColorJitterView(),
        PackFrames(),
    ]
    packed = [run(record(), *steps) for _ in range(2)]
    data = dict(
        inputs={key: [p['inputs'][key] for p in packed] for key in packed[0]['inputs']},
        data_samples=[p['data_samples'] for p in packed],
    )
    batch = PretrainDataPreprocessor(mean=[128] * 3, std=[64] * 3)(data)
    shapes = {key: (tuple(value.shape), value.dtype) for key, value in batch['inputs'].items()}
    real = torch.float32
    assert shapes == dict(
        img=((2, 4, 3, *SIZE), real),
        points=((2, 128, 6), real),
        depth=((2, 4, *SIZE), real),
        intrinsics=((2, 4, 3, 3), real),
        extrinsics=((2, 4, 4, 4), real),
        queries=((2, 4, 16, 2), real),
        targets=((2, 4, 16, 2), real),
        query_valid=((2, 4, 16), torch.bool),
    )
    assert float(batch['inputs']['img'].abs().max()) <= 2
    sample = batch['data_samples'][0]
    assert sample.sample_id == 'room/0-1' and sample.frame_ids == ['0', '1', '1', '2']
    assert len(sample.img_paths) == 4
    with pytest.raises(ValueError, match='put LoadFrames'):
        PackFrames()(dict())


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: LoadFrames('both'), 'grid must be'),
        (lambda: ResizeFrames((0, 4)), 'must be positive'),
        (lambda: ResizeFrames((4, 4), divisor=0), 'must be positive'),
        (lambda: LoadSceneCloud(-1), 'must not be negative'),
        (lambda: RotateScaleScene(200), 'max_angle'),
        (lambda: RotateScaleScene(scale=(1.1, 0.9)), 'low <= high'),
        (lambda: DropDepth(0), 'num >= 1'),
        (lambda: SampleCorrespondences(0), 'must be positive'),
        (lambda: SampleCorrespondences(depth_tol=0), 'must be positive'),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_loading_names_what_is_broken(record, tmp_path):
    results = record()
    results['frames'][1]['img_path'] = str(tmp_path / 'none.png')
    with pytest.raises(SampleError, match='none.png'):
        LoadFrames()(results)
    results = record(views=(0, 1))
    save_depth(tmp_path / 'small.png', box_depth(poses()[0], CAMERA, (30, 40)))
    results['frames'][1].update(depth_path=str(tmp_path / 'small.png'))
    with pytest.raises(SampleError, match='one camera for both'):
        LoadFrames()(results)
    results['frames'][1].update(depth_cam2img=np.diag([0.5, 0.5, 1]) @ CAMERA)
    with pytest.raises(SampleError, match='views of different sizes'):
        LoadFrames()(results)
    empty = run(record(views=(0, 1)), LoadFrames())
    empty['depth'][:] = 0
    with pytest.raises(SampleError, match='empty cloud'):
        LoadSceneCloud()(empty)
