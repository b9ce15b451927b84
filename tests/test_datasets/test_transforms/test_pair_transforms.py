"""Transforms of pictures beside scans: what they do to the projection."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.transforms import (
    CropPictures,
    FlipPictures,
    JitterPictures,
    LoadPictures,
    PackPairs,
    ResizePictures,
)
from tests.pair_sets import AXES, P2, write_picture

LIDAR2IMG = np.vstack([P2, [0, 0, 0, 1]]) @ np.vstack([AXES, [0, 0, 0, 1]])


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.uniform([3, -6, -1.5, 0], [30, 6, 0.8, 1], (200, 4)).astype(np.float32)


@pytest.fixture
def frame(points):
    """Two pictures of different size, painted so that a pixel tells where it comes from."""

    def ramp(height, width):
        v, u = np.mgrid[:height, :width]
        return np.stack([u, v, 0 * u], -1).astype(np.uint8)

    other = np.vstack([P2 * [[1.1], [0.9], [1]], [0, 0, 0, 1]]) @ np.vstack([AXES, [0, 0, 0, 1]])
    return dict(
        points=points,
        sample_id='a',
        lidar_path='a.bin',
        images=[dict(camera='CAM2', img_path='2.png'), dict(camera='CAM3', img_path='3.png')],
        imgs=[ramp(40, 120), ramp(32, 100)],
        img_shape=[(40, 120), (32, 100)],
        lidar2img=np.stack([LIDAR2IMG, other]),
    )


def project(points, matrix):
    x = np.c_[points[:, :3].astype(np.float64), np.ones(len(points))] @ np.asarray(matrix).T
    return x[:, :2] / x[:, 2:3]


# --------------------------------------------------------------------------- golden


@pytest.mark.parametrize('case', range(4))
def test_golden_projection(golden, monkeypatch, case):
    """Scale, crop, mirror and pad of the public code, with the pictures' own transforms."""
    arrays = golden('simipu/point_sample.npz')
    get = {key.split('/')[1]: a for key, a in arrays.items() if key.startswith(f'case{case}/')}
    scale = get['scale_factor_wh'].astype(np.float64)
    height, width = get['img_shape_hw'].tolist()  # after the scale
    left, top = get['crop_offset_wh'].astype(int).tolist()
    source = np.rint(np.array([height, width]) / scale[::-1]).astype(int)
    frame = dict(
        imgs=[np.zeros((*source, 3), np.uint8)],
        img_shape=[tuple(source)],
        lidar2img=get['lidar2img'].astype(np.float64)[None],
    )
    ResizePictures((height, width), keep_ratio=False)(frame)
    # the lower right corner is the crop at this offset
    monkeypatch.setattr(np.random, 'randint', lambda low, high: high - 1)
    CropPictures((height - top, width - left))(frame)
    FlipPictures(1.0 if get['flip'] else 0.0)(frame)
    assert frame['img_shape'] == [(height - top, width - left)]
    points = get['points'].astype(np.float64)
    x = np.c_[points, np.ones(len(points))] @ frame['lidar2img'][0].T
    ahead = x[:, 2] > 1e-3  # behind the camera the public code clamps the depth
    assert ahead.sum() > 40
    expected = get['pixel_uv_after_aug'].astype(np.float64)
    if get['flip']:
        # the vectors mirror at the width before the crop
        expected[:, 0] -= left
    error = np.abs(x[:, :2] / x[:, 2:3] - expected)[ahead]
    assert (error / np.maximum(1, np.abs(expected[ahead]))).max() < 1e-4


# --------------------------------------------------------------------------- every combination


@pytest.mark.parametrize('keep, crop, flip', itertools.product((True, False), (0, 1), (0.0, 1.0)))
def test_projection_follows_the_pixels(frame, points, keep, crop, flip):
    """Projected points find the same place of the scene in the changed picture."""
    before = [project(points, matrix) for matrix in frame['lidar2img']]
    shapes = list(frame['img_shape'])
    ResizePictures((50, 90), (70, 200), keep_ratio=keep)(frame)
    resized = list(frame['img_shape'])
    if crop:
        CropPictures((45, 80))(frame)
    FlipPictures(flip)(frame)
    packed = PackPairs(min_in_picture=0)(frame)['inputs']
    assert packed['img_shape'].tolist() == [list(shape) for shape in frame['img_shape']]
    checked = 0
    for view in range(2):
        height, width = frame['img_shape'][view]
        uv = project(points, packed['lidar2img'][view].numpy())
        scale = np.array(resized[view][::-1]) / np.array(shapes[view][::-1])
        picture = frame['imgs'][view].astype(np.float32)
        for (u, v), (u0, v0) in zip(uv, before[view]):
            if not (3 < u < width - 3 and 3 < v < height - 3):
                continue
            # channels 0 and 1 hold column and row of the original, centres at + 0.5
            found = cv2.getRectSubPix(picture, (1, 1), (u - 0.5, v - 0.5))[0, 0, :2]
            if 3 < u0 < shapes[view][1] - 3 and 3 < v0 < shapes[view][0] - 3:
                assert found == pytest.approx([u0 - 0.5, v0 - 0.5], abs=0.8 + 0.5 / scale.min())
                checked += 1
    assert checked > 20


def test_resize_keeps_the_ratio_and_fits(frame):
    for _ in range(30):
        one = dict(frame, imgs=list(frame['imgs']), img_shape=list(frame['img_shape']))
        one['lidar2img'] = frame['lidar2img'].copy()
        ResizePictures((20, 60), (80, 240))(one)
        for (height, width), (h0, w0) in zip(one['img_shape'], frame['img_shape']):
            factor = min(height / h0, width / w0)
            assert 0.5 - 0.02 <= factor <= 2.4 + 0.02
            assert abs(height / h0 - width / w0) < 1 / min(h0, w0)
            assert height <= 80 and width <= 240
    ResizePictures((40, 120))(frame)
    assert frame['img_shape'][0] == (40, 120)
    assert frame['img_shape'][1] == (38, 120)  # 1.2 times


def test_range_of_the_public_config():
    """(640, 192) to (2400, 720), as mmdet draws long and short edge."""
    sizes = []
    for _ in range(200):
        frame = dict(
            imgs=[np.zeros((375, 1242, 3), np.uint8)],
            img_shape=[(375, 1242)],
            lidar2img=np.eye(4)[None],
        )
        ResizePictures((192, 640), (720, 2400))(frame)
        sizes.append(frame['img_shape'][0])
        scale = np.diag(frame['lidar2img'][0])[:2]
        assert scale == pytest.approx(np.array(sizes[-1][::-1]) / (1242, 375))
    heights = np.array(sizes)[:, 0]
    assert heights.min() < 230 and 550 < heights.max() <= 720


def test_crop(frame):
    original = frame['imgs'][0]
    CropPictures((24, 64), where='bottom')(frame)
    assert (frame['imgs'][0] == original[16:, 28:92]).all()
    assert frame['img_shape'] == [(24, 64), (24, 64)]
    CropPictures((100, 32))(frame)  # rows are fewer: they stay
    assert frame['img_shape'] == [(24, 32), (24, 32)]


def test_flip_twice_is_nothing(frame):
    images, matrices = [p.copy() for p in frame['imgs']], frame['lidar2img'].copy()
    FlipPictures(1.0)(frame)
    assert frame['img_flipped'] is True and (frame['imgs'][0] == images[0][:, ::-1]).all()
    # u becomes w - u
    point = np.array([10.0, 1, 0, 1])
    (u, _, z, _), (u0, _, z0, _) = frame['lidar2img'][0] @ point, matrices[0] @ point
    assert u / z == pytest.approx(120 - u0 / z0)
    FlipPictures(1.0)(frame)
    assert all((a == b).all() for a, b in zip(frame['imgs'], images))
    assert frame['lidar2img'] == pytest.approx(matrices)
    FlipPictures(0.0)(frame)
    assert frame['img_flipped'] is False


def test_jitter_changes_colours_only(frame):
    frame['imgs'] = [np.full((8, 8, 3), (200, 100, 50), np.uint8) for _ in range(2)]
    matrices = frame['lidar2img'].copy()
    JitterPictures()(frame)
    assert (frame['lidar2img'] == matrices).all()
    a, b = frame['imgs']
    assert a.shape == (8, 8, 3) and (a != (200, 100, 50)).any() and (a != b).any()


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: ResizePictures((0, 5)), 'need positive'),
        (lambda: ResizePictures((10, 10), (5, 20)), 'up to max_size'),
        (lambda: CropPictures((0, 5)), 'need a positive size'),
        (lambda: CropPictures((5, 5), 'top'), "'random' or 'bottom'"),
        (lambda: FlipPictures(1.5), r'prob must be in \[0, 1\], got 1.5'),
        (lambda: LoadPictures(0), 'num_cameras must be positive'),
        (lambda: PackPairs(-1), 'min_in_picture'),
    ],
)
def test_impossible_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --------------------------------------------------------------------------- loading and packing


def test_load(tmp_path):
    images = []
    for k, size in enumerate([(20, 30), (10, 30), (20, 40)]):
        write_picture(tmp_path / f'{k}.png', k, size)
        images.append(
            dict(img_path=str(tmp_path / f'{k}.png'), camera=str(k), lidar2img=k * np.eye(4))
        )
    record = dict(sample_id='a', images=images)
    out = LoadPictures()(dict(record))
    assert out['img_shape'] == [(20, 30), (10, 30), (20, 40)] and out['lidar2img'][2, 0, 0] == 2
    out['lidar2img'][:] = 9  # the record's own matrices stay
    assert images[1]['lidar2img'][0, 0] == 1
    two = LoadPictures(2)(dict(record))
    assert [i['camera'] for i in two['images']] == sorted(i['camera'] for i in two['images'])
    assert len(two['imgs']) == len(two['lidar2img']) == 2 and len(record['images']) == 3
    with pytest.raises(SampleError, match='a: 4 cameras wanted'):
        LoadPictures(4)(dict(record))


def test_pack(frame):
    frame.update(points_aug=frame['points'] + 1, transform=np.eye(4), scene='s', img_flipped=True)
    out = PackPairs()(frame)
    inputs, sample = out['inputs'], out['data_samples']
    assert inputs['img'].shape == (2, 3, 40, 120) and inputs['img'].dtype == torch.uint8
    assert (inputs['img'][1, :, :32, :100].numpy() == frame['imgs'][1].transpose(2, 0, 1)).all()
    assert (inputs['img'][1, :, 32:] == 0).all() and (inputs['img'][1, :, :, 100:] == 0).all()
    for key in ('points', 'points_aug', 'transform', 'lidar2img'):
        assert inputs[key].dtype == torch.float32
    assert 'depth' not in inputs
    assert sample.img_paths == ['2.png', '3.png'] and sample.scene == 's' and sample.img_flipped


def test_pack_refuses(frame):
    with pytest.raises(ValueError, match='put LoadLidar and LoadPictures before it'):
        PackPairs()(dict(points=frame['points']))
    far = frame['points'] * np.float32([-1, 1, 1, 1])
    with pytest.raises(SampleError, match=r"a\.bin: 0 of 200 points .* \['CAM2', 'CAM3'\]"):
        PackPairs()(dict(frame, points=far))
