"""Batches of pairs: padding, normalisation, the projection through both."""

from __future__ import annotations

import pytest
import torch

from mm3dpretrain.models import PairDataPreprocessor
from mm3dpretrain.models.renderers import PointProjector
from mm3dpretrain.models.renderers.point_projector import cameras_from_projection
from mm3dpretrain.structures import PretrainDataSample

RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def batch(shapes=((40, 100), (50, 70)), stride=4, views=1, points=8):
    inputs = dict(img=[], img_shape=[], points=[], lidar2img=[], depth=[])
    for height, width in shapes:
        inputs['img'].append(torch.randint(1, 256, (views, 3, height, width), dtype=torch.uint8))
        inputs['img_shape'].append(torch.tensor([[height, width]] * views))
        inputs['points'].append(torch.rand(points, 4))
        inputs['lidar2img'].append(torch.eye(4).repeat(views, 1, 1))
        inputs['depth'].append(1 + torch.rand(views, -(-height // stride), -(-width // stride)))
    samples = [PretrainDataSample(metainfo=dict(depth_stride=stride)) for _ in shapes]
    return dict(inputs=inputs, data_samples=samples)


def test_pads_to_one_size():
    data = batch()
    out = PairDataPreprocessor(**RGB)(data)['inputs']
    assert out['img'].shape == (2, 1, 3, 64, 128) and out['depth'].shape == (2, 1, 16, 32)
    mean, std = (torch.tensor(RGB[k])[:, None, None] for k in ('mean', 'std'))
    for b, (height, width) in enumerate(((40, 100), (50, 70))):
        expected = (data['inputs']['img'][b] - mean) / std
        assert torch.allclose(out['img'][b, ..., :height, :width], expected)
        assert (out['img'][b, ..., height:, :] == 0).all()
        assert (out['img'][b, ..., :, width:] == 0).all()
        rows, columns = -(-height // 4), -(-width // 4)
        assert torch.equal(out['depth'][b, :, :rows, :columns], data['inputs']['depth'][b])
        assert (out['depth'][b, :, rows:] == 0).all() and (
            out['depth'][b, ..., columns:] == 0
        ).all()
    assert all(value.dtype == torch.float32 for value in out.values())


def test_views_of_different_size_keep_zeros_between():
    """PackPairs pads the pictures of a frame to one size: that padding is 0 too."""
    data = batch(shapes=((40, 100),), views=2)
    data['inputs']['img_shape'][0][1] = torch.tensor([30, 90])
    out = PairDataPreprocessor(**RGB)(data)['inputs']['img']
    assert (out[0, 1, :, 30:] == 0).all() and (out[0, 1, ..., 90:] == 0).all()
    assert (out[0, 0, :, 39] != 0).any()


def test_bgr():
    data = batch(shapes=((32, 32),))
    mean = [103.53, 116.28, 123.675]
    out = PairDataPreprocessor(mean=mean, std=[1, 1, 1], bgr=True)(data)['inputs']['img'][0, 0]
    red, green, blue = data['inputs']['img'][0][0].float()
    for channel, value, offset in zip(out, (blue, green, red), mean):
        assert torch.allclose(channel, value - offset)
    plain = PairDataPreprocessor(bgr=True)(data)['inputs']['img'][0, 0]
    assert torch.equal(plain[0], blue)


def test_input_is_left_as_it_was():
    data = batch()
    before = {key: [v.clone() for v in value] for key, value in data['inputs'].items()}
    PairDataPreprocessor(**RGB)(data)
    for key, value in data['inputs'].items():
        assert all(torch.equal(a, b) for a, b in zip(value, before[key]))


def test_stacked_pictures_do_too():
    data = batch(shapes=((32, 64), (32, 64)))
    data['inputs'] = {key: torch.stack(value) for key, value in data['inputs'].items()}
    assert PairDataPreprocessor()(data)['inputs']['img'].shape == (2, 1, 3, 32, 64)


def test_refuses():
    with pytest.raises(ValueError, match='no img: does the pipeline end in PackPairs'):
        PairDataPreprocessor()(dict(inputs={}, data_samples=[]))
    with pytest.raises(ValueError, match='multiple of the stride 5'):
        PairDataPreprocessor()(batch(stride=5))
    with pytest.raises(ValueError, match='pad_divisor must be positive'):
        PairDataPreprocessor(pad_divisor=0)
    data = batch()
    data['inputs']['points'][1] = torch.rand(9, 4)
    with pytest.raises(ValueError, match="equal 'points' shapes"):
        PairDataPreprocessor()(data)


def test_depth_cells_fit_the_projector(data_root):
    """Through pipeline and preprocessor: a point looks at its own cell of the depth picture."""
    from mm3dpretrain.datasets import KittiPairs

    pipeline = [
        dict(type='LoadLidar'),
        dict(type='LoadPictures'),
        dict(type='ResizePictures', size=(190, 630)),
        dict(type='FlipPictures', prob=1.0),
        dict(type='LidarDepth', stride=4),
        dict(type='SampleLidar', num_points=2048, fixed=True),
        dict(type='PackPairs'),
    ]
    dataset = KittiPairs(data_root=str(data_root / 'kitti_mini'), pipeline=pipeline)
    items = [dataset[i] for i in range(3)]
    inputs = {key: [item['inputs'][key] for item in items] for key in items[0]['inputs']}
    data = dict(inputs=inputs, data_samples=[item['data_samples'] for item in items])
    out = PairDataPreprocessor(**RGB)(data)['inputs']
    size = tuple(out['img'].shape[-2:])
    assert size[0] % 32 == size[1] % 32 == 0
    cameras = cameras_from_projection(out['lidar2img'], size)
    xyz = out['points'][..., :3]
    loose = PointProjector(tolerance=1e6).visible(xyz, cameras)[2]
    any_depth = PointProjector(tolerance=1e6).visible(xyz, cameras, out['depth'])[2]
    # wherever a point falls there is a depth, and a point is never nearer than its own cell's
    assert torch.equal(loose, any_depth) and loose.float().mean() > 0.99
    uv, z, seen = PointProjector(tolerance=0.05, relative=True).visible(xyz, cameras, out['depth'])
    assert 0.8 < seen.float().mean() < 1
