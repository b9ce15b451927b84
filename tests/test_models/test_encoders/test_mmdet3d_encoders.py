"""Backbones of mmdet3d as pre-training encoders."""

import pytest
import torch

pytest.importorskip('mmdet3d')

from mm3dpretrain.registry import MODELS

SSG = dict(
    type='mmdet3d.PointNet2SASSG',
    in_channels=4,
    num_points=(64, 32),
    radius=(0.3, 0.6),
    num_samples=(8, 8),
    sa_channels=((8, 8, 16), (16, 16, 24)),
    fp_channels=((20, 12),),
    norm_cfg=dict(type='BN2d'),
)
MSG = dict(
    type='mmdet3d.PointNet2SAMSG',
    in_channels=3,
    num_points=(64, 32),
    radii=((0.2, 0.4), (0.4, 0.8)),
    num_samples=((8, 8), (8, 8)),
    sa_channels=(((8, 16), (8, 16)), ((16, 24), (16, 20))),
    aggregation_channels=(24, None),
    fps_mods=('D-FPS', 'D-FPS'),
    fps_sample_range_lists=(-1, -1),
    dilated_group=(False, False),
    out_indices=(1,),
)
UNET = dict(
    type='mmdet3d.MinkUNetBackbone',
    in_channels=4,
    base_channels=8,
    num_stages=2,
    encoder_channels=[8, 16],
    encoder_blocks=[1, 1],
    decoder_channels=[16, 12],
    decoder_blocks=[1, 1],
)


@pytest.fixture
def points():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 256, 4, generator=generator)


@pytest.mark.parametrize(
    'cfg, groups, width',
    [
        (dict(type='PointNet2Encoder', backbone=SSG), 64, 12),
        (dict(type='PointNet2Encoder', backbone={**SSG, 'fp_channels': ()}), 32, 24),
        (dict(type='PointNet2Encoder', backbone=MSG), 32, 44),
        (dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=UNET), 256, 12),
    ],
)
def test_outputs(points, cfg, groups, width):
    torch.manual_seed(0)
    encoder = MODELS.build(cfg)
    again = MODELS.build(cfg)  # the config is left as it was
    assert [p.shape for p in again.parameters()] == [p.shape for p in encoder.parameters()]
    out = encoder(points[..., : encoder.in_channels])
    assert out['local'].shape == (2, groups, width)
    assert out['xyz'].shape == (2, groups, 3)
    assert out['global'].shape == (2, encoder.out_channels) == (2, 2 * width)
    # every returned position is a point of the cloud
    away = (out['xyz'][:, :, None] - points[:, None, :, :3]).norm(dim=-1)
    assert (away.amin(-1) < 1e-6).all()
    out['global'].square().sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_clouds_do_not_mix(points):
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=UNET)).eval()
    both = encoder(points)['local']
    alone = encoder(points[1:])['local']
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-4)


def test_voxels_hold_the_mean(points):
    encoder = MODELS.build(dict(type='SparseUNetEncoder', voxel_size=0.25, backbone=UNET))
    features, coors, owner = encoder._voxels(points)
    flat = points.flatten(0, 1)
    for voxel in (0, len(coors) // 2, len(coors) - 1):
        members = flat[owner == voxel]
        torch.testing.assert_close(features[voxel], members.mean(0))
        # batch first, and no member farther away than a voxel is long
        assert (torch.nonzero(owner == voxel)[:, 0] // 256 == coors[voxel, 0]).all()
        assert (members[:, :3].amax(0) - members[:, :3].amin(0)).max() <= 0.25


@pytest.mark.parametrize('height', [0.0, 0.05, 0.15, 0.35])
def test_flat_clouds(points, height):
    """Lower than one cell of the coarsest stage: spconv alone refuses them."""
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=UNET))
    points[..., 2] *= height
    local = encoder(points)['local']
    assert local.shape == (2, 256, 12) and local.isfinite().all()
    assert local.std(dim=1).mean() > 0


def test_bad_input(points):
    with pytest.raises(ValueError, match='voxel_size'):
        MODELS.build(dict(type='SparseUNetEncoder', voxel_size=0.0, backbone=UNET))
    encoder = MODELS.build(dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=UNET))
    with pytest.raises(ValueError, match=r'\(B, N, 4\)'):
        encoder(points[..., :3])


def test_features_without_coordinates(points):
    """SimIPU's use: neither the place nor the offsets are features, only who is a neighbour."""
    sa_cfg = dict(type='PointSAModuleMSG', pool_mod='max', use_xyz=False, normalize_xyz=False)
    torch.manual_seed(0)
    backbone = dict(MSG, in_channels=4, sa_cfg=sa_cfg)
    encoder = MODELS.build(dict(type='PointNet2Encoder', backbone=backbone)).eval()
    out = encoder(points)
    assert out['local'].shape == (2, 32, 44)
    same = torch.cat([points[..., :3], torch.full_like(points[..., 3:], 0.3)], -1)
    flat = encoder(same)['local']
    torch.testing.assert_close(flat, flat[:1, :1].expand_as(flat))
    with pytest.raises(ValueError, match='leaves no feature'):
        MODELS.build(dict(type='PointNet2Encoder', backbone=dict(backbone, in_channels=3)))


LEVELS = [
    (dict(type='PointNet2Encoder', backbone=SSG), (0, 1), (24, 12), (32, 64)),
    (
        dict(type='PointNet2Encoder', backbone={**SSG, 'fp_channels': ()}),
        (0, 1),
        (24, 16),
        (32, 64),
    ),
    (
        dict(type='PointNet2Encoder', backbone={**MSG, 'out_indices': (0, 1)}),
        (0, 1),
        (44, 24),
        (32, 64),
    ),
    (dict(type='PointNet2Encoder', backbone=MSG), (0,), (44,), (32,)),
    (
        dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=UNET),
        (0, 1, 2),
        (16, 16, 12),
        (256, 256, 256),
    ),
]


@pytest.mark.parametrize('cfg, levels, widths, sizes', LEVELS)
def test_levels(points, cfg, levels, widths, sizes):
    """Coarse to fine, whatever the order they are asked in; nobody pays who does not ask."""
    torch.manual_seed(0)
    encoder = MODELS.build(dict(cfg, out_levels=levels[::-1])).eval()
    plain = MODELS.build(cfg).eval()
    plain.load_state_dict(encoder.state_dict())
    points = points[..., : encoder.in_channels]
    out = encoder(points)
    assert encoder.level_channels == widths and plain.level_channels == ()
    assert [tuple(f.shape) for _, f in out['levels']] == [
        (2, size, width) for size, width in zip(sizes, widths)
    ]
    for xyz, features in out['levels']:
        assert xyz.shape == (*features.shape[:2], 3)
    assert 'levels' not in plain(points)
    assert not any(module._forward_hooks for module in encoder.modules())
    encoder.zero_grad()
    out['levels'][0][1].square().sum().backward()
    decoder = [n for n, _ in encoder.backbone.named_parameters()
               if n.startswith(encoder.decoder_parts)]  # fmt: skip
    grads = dict(encoder.backbone.named_parameters())
    # the coarsest level is the end of the encoder
    assert all(grads[name].grad is None for name in decoder)
    assert all(grads[name].grad is not None for name in set(grads) - set(decoder))
    with pytest.raises(ValueError, match='out_levels must be in'):
        MODELS.build(dict(cfg, out_levels=(7,)))


def test_levels_of_the_sparse_network_are_those_of_its_voxels(points):
    """Points of one coarse voxel share its features, those of different ones do not."""
    torch.manual_seed(0)
    cfg = dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=UNET, out_levels=(0, 1, 2))
    encoder = MODELS.build(cfg).eval()
    out = encoder(points)
    cells = encoder._voxels(points)[1][encoder._voxels(points)[2]].unflatten(0, (2, 256))
    for level, (xyz, features) in enumerate(out['levels']):
        assert xyz is out['xyz'] or xyz.equal(out['xyz'])
        stride = encoder.stride(level)
        assert stride == (4, 2, 1)[level]
        coarse = torch.cat([cells[..., :1], cells[..., 1:] // stride], -1).flatten(0, 1)
        group = coarse.unique(dim=0, return_inverse=True)[1]
        same = group[:, None] == group
        far = (features.flatten(0, 1)[:, None] - features.flatten(0, 1)).abs().amax(-1)
        assert far[same].max() == 0 and far[~same].min() > 0
    torch.testing.assert_close(out['levels'][-1][1], out['local'])


@pytest.mark.parametrize('size', [5, 6, 7, 9])
def test_no_point_is_without_coarse_features(size):
    """A grid that does not divide into coarse cells: spconv alone drops its rim."""
    torch.manual_seed(0)
    cfg = dict(type='SparseUNetEncoder', voxel_size=1.0, backbone=UNET, out_levels=(0,))
    line = torch.arange(size) + 0.5
    points = torch.cat([torch.cartesian_prod(line, line, line), torch.ones(size**3, 1)], -1)[None]
    features = MODELS.build(cfg).eval()(points)['levels'][0][1]
    assert (features.abs().sum(-1) > 0).all()
