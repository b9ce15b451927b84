"""The parts of LiDAR detectors as a pre-training encoder."""

from __future__ import annotations

import pytest
import torch
from toy_lidar import RANGE, lidar_points, toy_encoder

pytest.importorskip('mmdet3d')

from mm3dpretrain.registry import MODELS

KINDS = ('second', 'dynamic', 'pillars')


def build(kind, **settings):
    torch.manual_seed(0)
    encoder = MODELS.build(toy_encoder(kind, **settings))
    for module in encoder.modules():  # statistics that do something
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return encoder


@pytest.mark.parametrize('kind', KINDS)
def test_outputs_and_gradients(kind):
    encoder = build(kind, num_keypoints=64)
    points = lidar_points(2, 1024)
    out = encoder(points)
    assert out['xyz'].shape == (2, 64, 3)
    assert out['local'].shape == (2, 64, encoder.embed_dim)
    assert out['global'].shape == (2, encoder.out_channels) == (2, 2 * encoder.embed_dim)
    # every returned position is a point of the cloud
    assert (out['xyz'][:, :, None] == points[:, None, :, :3]).all(-1).any(-1).all()
    (out['local'] * torch.randn_like(out['local'])).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize('kind', KINDS)
def test_names_are_those_of_the_detector(kind):
    names = {key.split('.')[0] for key in build(kind).state_dict()}
    assert names <= {'voxel_encoder', 'middle_encoder', 'backbone', 'neck'}


@pytest.mark.parametrize('kind', KINDS)
def test_clouds_do_not_mix(kind):
    encoder = build(kind).eval()
    points = lidar_points(2, 512)
    both, alone = encoder(points), encoder(points[1:])
    assert both['xyz'].equal(points[..., :3])  # all points, in their order
    torch.testing.assert_close(both['local'][1:], alone['local'], atol=1e-5, rtol=1e-4)


def test_map_is_read_at_the_place_of_the_point():
    """x runs along the width of the map, y along its height, half a cell from the border."""
    encoder = build('pillars').eval()
    height, width = 4, 8
    rows = torch.arange(height, dtype=torch.float32)
    columns = torch.arange(width, dtype=torch.float32)
    maps = torch.stack(torch.meshgrid(rows, columns, indexing='ij'))[None]
    low, high = torch.tensor(RANGE).view(2, 3)
    cell = (high - low)[:2] / torch.tensor([width, height])
    # the centre of the cell in row 1, column 5, then half a cell further in x
    places = torch.tensor([[5.5, 1.5], [6.0, 1.5], [5.5, 2.0]])
    xyz = torch.zeros(1, 3, 3)
    xyz[0, :, :2] = low[:2] + cell * places
    found = encoder._sample(maps, xyz)[0]
    expected = torch.tensor([[1.0, 5.0], [1.0, 5.5], [1.5, 5.0]])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_points_of_a_column_differ_by_height_alone():
    encoder = build('second').eval()
    points = lidar_points(1, 256)
    points[0, 1, :2] = points[0, 0, :2]
    points[0, :2, 2] = torch.tensor([RANGE[2] + 0.2, RANGE[5] - 0.3])
    local = encoder(points)['local'][0]
    assert local[0, :-8].equal(local[1, :-8]) and not local[0, -8:].equal(local[1, -8:])
    h = 0.2 / (RANGE[5] - RANGE[2])
    code = [torch.pi * 2**k * h for k in range(4)]
    expected = torch.tensor(code)
    torch.testing.assert_close(local[0, -8:], torch.cat([expected.sin(), expected.cos()]))


def test_points_out_of_range():
    encoder = build('dynamic').eval()
    points = lidar_points(2, 300)
    alone = encoder(points)
    stray = torch.tensor([RANGE[3] + 5.0, 0.0, 0.0, 0.5]).expand(2, 40, 4)
    more = torch.cat([stray, points], dim=1)
    out = encoder(more)
    torch.testing.assert_close(out['local'][:, 40:], alone['local'], atol=1e-5, rtol=1e-4)
    assert not out['local'][:, :40, :-8].any() and out['local'][:, 40:, :-8].any()
    above = points[:, :40].clone()
    above[..., 2] = RANGE[5] + 1.0  # over the map, but in none of its voxels
    assert not encoder(torch.cat([above, points], dim=1))['local'][:, :40, :-8].any()
    # they are never key points
    encoder.num_keypoints = 50
    kept = encoder(more)['xyz']
    assert encoder.in_range(kept).all()
    assert len(kept[0].unique(dim=0)) == 50


def test_bad_input():
    encoder = build('pillars')
    points = lidar_points(2, 100)
    with pytest.raises(ValueError, match=r'\(B, N, 4\)'):
        encoder(points[..., :3])
    points[1, :, 0] -= 1000
    with pytest.raises(ValueError, match=r'cloud 1 .*no point inside .*-9[0-9.]+'):
        encoder(points)
    points[1] = float('nan')
    with pytest.raises(ValueError, match='finite'):
        encoder(points)
    with pytest.raises(ValueError, match="'hard' or 'dynamic'"):
        build('pillars', voxel_type='soft')
    with pytest.raises(ValueError, match="'dynamic' goes with -1"):
        build('pillars', voxel_type='dynamic')


@pytest.mark.parametrize('kind', KINDS)
def test_the_detector_gives_the_same_map(kind):
    """The same modules, cut into voxels by the detector itself from a list of clouds."""
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope
    from toy_lidar import toy_detector

    encoder = build(kind).eval()
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        detector = MODELS.build(ConfigDict(toy_detector(kind))).eval()
    missing, unexpected = detector.load_state_dict(encoder.state_dict(), strict=False)
    assert not unexpected and all(key.startswith('bbox_head') for key in missing)
    points = lidar_points(2, 400)
    data = dict(inputs=dict(points=list(points)), data_samples=None)
    inputs = detector.data_preprocessor(data)['inputs']
    expected, found = detector.extract_feat(inputs)[0], encoder.bev_map(points)
    # spconv's sums on a CPU were not bit-equal in one of many runs
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()
