from __future__ import annotations

import copy
import math

import pytest
import torch
from dist_utils import run_distributed
from mmengine.model import BaseModule
from torch import nn

from mm3dpretrain.evaluation import CrossModalRetrieval
from mm3dpretrain.models.pretrainers.simipu import undo_transform
from mm3dpretrain.ops import match_points
from mm3dpretrain.registry import MODELS

B, N, H, W, DIM = 2, 64, 32, 48, 16


@MODELS.register_module()
class PointwiseEncoder(BaseModule):
    """Every point by itself: equal positions have equal features whatever the order."""

    def __init__(self, in_channels: int = 4, embed_dim: int = 12) -> None:
        super().__init__()
        self.in_channels, self.embed_dim, self.out_channels = in_channels, embed_dim, embed_dim
        self.net = nn.Sequential(
            nn.Linear(in_channels, embed_dim), nn.ReLU(), nn.Linear(embed_dim, embed_dim)
        )

    def forward(self, points):
        local = self.net(points)
        return {'xyz': points[..., :3], 'local': local, 'global': local.amax(1)}


@MODELS.register_module()
class TwoMaps(BaseModule):
    """Maps at strides 2 and 4, with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6))
        self.second = nn.Sequential(nn.Conv2d(6, 10, 3, 2, 1), nn.BatchNorm2d(10))

    def forward(self, img):
        first = self.first(img)
        return first, self.second(first.relu())


def head(width):
    return dict(type='ProjectionMLP', in_channels=width, hidden_channels=24, out_channels=DIM)


REPO = dict(
    type='SimIPU',
    point_encoder=dict(type='PointwiseEncoder'),
    img_encoder=dict(type='TwoMaps'),
    intra_head=head(12),
    img_head=head(10),
    point_head=head(12),
)
IMPROVED = dict(
    REPO,
    img_head=head(16),
    img_levels=(0, 1),
    contrast=dict(type='PointInfoNCELoss', symmetric=True),
    projector=dict(type='PointProjector', tolerance=0.1, relative=True),
    detach='none',
    valid_mask=True,
)


def build(cfg=REPO, **changes):
    torch.manual_seed(0)
    return MODELS.build({**copy.deepcopy(cfg), **changes})


def camera(focal=20.0):
    """Looks along +x; everything in front of it at |y|, |z| < x is in the picture."""
    turn = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    project = torch.tensor([[focal, 0, W / 2, 0], [0, focal, H / 2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return project @ turn


def motion(angle=0.4, scale=1.1, mirror=True, center=(35.2, 0.0, -1.0)):
    c, s = math.cos(angle), math.sin(angle)
    matrix = torch.eye(4)
    matrix[:3, :3] = scale * torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    if mirror:
        matrix[:3, 1] *= -1
    matrix[:3, 3] = torch.tensor(center) - matrix[:3, :3] @ torch.tensor(center)
    return matrix


def batch(views=1, spread=0.5, size=B):
    """Points in front of the camera, an augmented copy in another order, noise as pictures."""
    g = torch.Generator().manual_seed(1)
    x = 5 + 20 * torch.rand(size, N, 1, generator=g)
    yz = (2 * torch.rand(size, N, 2, generator=g) - 1) * spread * x
    points = torch.cat([x, yz, torch.rand(size, N, 1, generator=g)], -1)
    transform = torch.stack([motion(0.3 * i - 0.5) for i in range(size)])
    order = torch.randperm(N, generator=g)
    moved = points[..., :3] @ transform[:, :3, :3].mT + transform[:, None, :3, 3]
    return dict(
        points=points,
        points_aug=torch.cat([moved, points[..., 3:]], -1)[:, order],
        transform=transform,
        img=torch.randn(size, views, 3, H, W, generator=g),
        lidar2img=camera().expand(size, views, 4, 4).clone(),
        img_shape=torch.tensor([H, W]).expand(size, views, 2).float().clone(),
    )


def total(losses):
    return sum(v for k, v in losses.items() if 'loss' in k)


def has_grad(model, part):
    grads = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in part.parameters()]
    return any(grads)


# ------------------------------------------------------------------ who learns from what


@pytest.mark.parametrize(
    'cfg, weights, learners',
    [
        (REPO, dict(intra=1, inter=1), {'point_encoder', 'img_encoder', 'intra_head', 'img_head'}),
        (REPO, dict(intra=1), {'point_encoder', 'intra_head'}),
        (REPO, dict(inter=1), {'img_encoder', 'img_head'}),
        (
            dict(REPO, detach='features'),
            dict(inter=1),
            {'img_encoder', 'img_head', 'point_head'},
        ),
        (
            dict(REPO, detach='none'),
            dict(inter=1),
            {'img_encoder', 'img_head', 'point_head', 'point_encoder'},
        ),
        (
            IMPROVED,
            dict(intra=1, inter=1),
            {'point_encoder', 'img_encoder', 'intra_head', 'img_head', 'point_head'},
        ),
    ],
)
def test_who_gets_a_gradient(cfg, weights, learners):
    model = build(cfg, loss_weights=weights)
    losses = model.loss(batch())
    assert {k for k in losses if 'loss' in k} == {f'loss_{name}' for name in weights}
    total(losses).backward()
    parts = {name for name, child in model.named_children() if has_grad(model, child)}
    assert parts == learners
    # nothing that is trainable is left without: DistributedDataParallel needs no search
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    frozen = {name.split('.')[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert not frozen & learners


def test_the_cut_is_before_or_after_the_head():
    """g_pts of the public code never changes, but its batch norm sees the data."""
    model = build()
    assert not any(p.requires_grad for p in model.point_head.parameters())
    before = model.point_head.layers[1].running_mean.clone()
    model.loss(batch())
    assert not torch.equal(model.point_head.layers[1].running_mean, before)


def test_the_second_view_leaves_no_trace_in_the_running_statistics():
    """A detector sees scans as they are; turned and scaled ones fill other cells of a grid."""

    class Encoder(torch.nn.Module):
        embed_dim = out_channels = 12
        in_channels = 4

        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(4)
            self.linear = torch.nn.Linear(4, 12)

        def forward(self, points):
            local = self.linear(self.norm(points.transpose(1, 2)).transpose(1, 2))
            return {'xyz': points[..., :3], 'local': local, 'global': local.mean(1)}

    model, data = build(), batch()
    model.point_encoder, twin = Encoder(), Encoder()
    model.loss(dict(data, points_aug=10 * data['points_aug']))
    twin(data['points'])
    for name in ('running_mean', 'running_var'):
        assert getattr(model.point_encoder.norm, name).equal(getattr(twin.norm, name))


def test_weights_scale_the_terms():
    one, other = build(), build(loss_weights=dict(intra=0.5, inter=2.0))
    data = batch()
    a, b = one.loss(data), other.loss(data)
    torch.testing.assert_close(b['loss_intra'], 0.5 * a['loss_intra'])
    torch.testing.assert_close(b['loss_inter'], 2.0 * a['loss_inter'])


def test_second_view_without_graph_gives_the_same_gradients():
    """By hand, with the graph of the second view and the targets cut off at the end."""
    data = batch()
    model, twin = build(), build()
    total(model.loss(data)).backward()

    first, second = twin.point_encoder(data['points']), twin.point_encoder(data['points_aug'])
    match = match_points(first['xyz'], undo_transform(second['xyz'], data['transform']))
    rows = second['local'].gather(1, match.index[..., None].expand(-1, -1, 12))
    pixels, _, _ = twin._image_features(data, first['xyz'])
    loss = twin.contrast(
        twin.img_head(pixels.flatten(0, 1)), twin.point_head(first['local'].flatten(0, 1)).detach()
    )['loss']
    query = twin.intra_head(first['local'].flatten(0, 1))
    loss = loss + twin.contrast(query, twin.intra_head(rows.flatten(0, 1)).detach())['loss']
    loss.backward()
    for (name, p), q in zip(model.named_parameters(), twin.parameters()):
        if p.grad is not None:
            torch.testing.assert_close(p.grad, q.grad, msg=name)
    for (name, p), q in zip(model.named_buffers(), twin.buffers()):
        torch.testing.assert_close(p, q, msg=name)


# ------------------------------------------------------------------ geometry


@pytest.mark.parametrize('mirror', [False, True])
@pytest.mark.parametrize('scale', [0.75, 1.0, 1.25])
@pytest.mark.parametrize('angle', [-1.5, 0.0, 0.7])
def test_transform_is_undone(mirror, scale, angle):
    xyz = 40 * torch.randn(3, 20, 3)
    matrix = motion(angle, scale, mirror).expand(3, 4, 4)
    moved = xyz @ matrix[:, :3, :3].mT + matrix[:, None, :3, 3]
    torch.testing.assert_close(undo_transform(moved, matrix), xyz, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize('matcher', ['hungarian', 'nearest', 'mutual_nn'])
def test_same_points_are_matched(matcher):
    """Whatever the motion and the order: partners lie at distance 0."""
    losses = build(matcher=matcher, max_match_dist=0.01).loss(batch())
    assert losses['matched'] == 1 and losses['match_dist'] < 1e-4


def test_far_partners_are_left_out():
    data = batch()
    data['points_aug'][:, : N // 2, :3] += 1000.0
    losses = build(max_match_dist=1.0).loss(data)
    assert losses['matched'] == 0.5 and losses['intra_candidates'] == B * N // 2
    assert losses['match_dist'] < 1e-4


def test_fresh_model_is_near_the_uniform_level():
    """ln M + 1 / (2 d tau^2) for random unit vectors; heads with 128 channels come close."""
    wide = dict(type='ProjectionMLP', hidden_channels=64, out_channels=128)
    cfg = dict(
        intra_head=dict(wide, in_channels=12),
        img_head=dict(wide, in_channels=10),
        point_head=dict(wide, in_channels=12),
    )
    data = batch(size=8)
    losses = build(**cfg).loss(data)
    level = math.log(8 * N)
    assert losses['inter_candidates'] == losses['intra_candidates'] == 8 * N
    assert level < losses['loss_inter'] < level + 4
    assert 0 <= losses['inter_top1'] < 0.05


# ------------------------------------------------------------------ masks and cameras


def test_mask_with_all_points_visible_changes_nothing():
    data = batch(spread=0.3)
    a, b = build(valid_mask=False).loss(data), build(valid_mask=True).loss(data)
    assert a['visible'] == 1
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def test_mask_leaves_out_what_no_camera_sees():
    data = batch(spread=0.3)
    data['points'][:, :10, 1] = 50.0  # beside the picture
    data['points'][:, 10:20, 0] *= -1  # behind the camera
    data['img_shape'][..., 1] = W / 2 + 4  # the right part is padding
    model = build(valid_mask=True)
    losses = model.loss(data)
    seen = model.extract_feat(data)['seen'].any(1)
    assert not seen[:, :20].any() and 0 < seen.sum() < B * (N - 20)
    assert losses['inter_candidates'] == seen.sum()
    assert losses['visible'] == pytest.approx(seen.float().mean().item())
    everything = build(valid_mask=False).loss(data)
    assert everything['inter_candidates'] == B * N


def test_depth_hides_points():
    data = batch(spread=0.3)
    data['depth'] = torch.full((B, 1, 4, 6), 15.0)
    losses = build(IMPROVED).loss(data)
    x = data['points'][..., 0]
    expected = ((x - 15).abs() < 0.1 * 15).float().mean()
    assert losses['visible'] == pytest.approx(expected.item())


@pytest.mark.parametrize('cfg', [REPO, IMPROVED])
def test_no_visible_point_in_the_batch(cfg):
    data = batch()
    data['points'][..., 0] *= -1
    model = build(cfg, valid_mask=True)
    losses = model.loss(data)
    assert losses['frames_unseen'] == B and losses['visible'] == 0
    assert losses['loss_inter'] == 0 and losses['inter_top1'] == 0
    total(losses).backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None and p.grad.isfinite().all(), name
    assert all(b.isfinite().all() for b in model.buffers())


def test_several_cameras():
    """A point has the mean of the cameras that see it; copies of a camera change nothing."""
    data, twice = batch(spread=0.3), batch(spread=0.3)
    for key in ('img', 'lidar2img', 'img_shape'):
        twice[key] = torch.cat([data[key]] * 2, dim=1)
    model = build(IMPROVED).eval()
    one, two = model.extract_feat(data), model.extract_feat(twice)
    torch.testing.assert_close(one['image'], two['image'])
    # a second camera that looks backwards sees nothing and changes nothing
    twice['lidar2img'][:, 1] = camera() @ torch.diag(torch.tensor([-1.0, -1, 1, 1]))
    twice['img'][:, 1] = 7.0
    two = model.extract_feat(twice)
    assert two['seen'][:, 0].all() and not two['seen'][:, 1].any()
    torch.testing.assert_close(one['image'], two['image'])
    total(build(IMPROVED).loss(twice)).backward()
    with pytest.raises(ValueError, match='2 cameras need valid_mask'):
        build().loss(twice)


def test_key_points_of_encoders_that_return_all():
    model = build(num_keypoints=20)
    losses = model.loss(batch())
    assert losses['inter_candidates'] == losses['intra_candidates'] == B * 20
    assert model.extract_feat(batch())['local'].shape == (B, N, 12)
    assert model.predict(batch())[0].point_embed.shape == (20, DIM)


# ------------------------------------------------------------------ several processes


def _ddp_gradients(rank, world_size, cfg, data, steps):
    model = build(cfg)
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    part = {k: v[rank : rank + 1] for k, v in data.items()}
    for _ in range(steps):
        losses = parallel(part, mode='loss')
        total(losses).backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return {k: v.item() for k, v in losses.items()}, grads


NO_NORM = dict(type='ProjectionHead', hidden_channels=24, out_channels=DIM, norm=False)


def test_two_processes_equal_one():
    """Without batch norm, which is each process's own."""
    cfg = dict(
        IMPROVED,
        img_encoder=dict(type='PlainMaps'),
        intra_head=dict(NO_NORM, in_channels=12),
        img_head=dict(NO_NORM, in_channels=9),
        point_head=dict(NO_NORM, in_channels=12),
    )
    data = batch(spread=0.9)
    data['points'][1, :30, 0] *= -1  # another number of visible points in each process
    model = build(cfg)
    losses = model.loss(data)
    assert losses['visible'] < 1
    total(losses).backward()
    results = run_distributed(_ddp_gradients, 2, (cfg, data, 1))
    for key in ('loss_intra', 'loss_inter'):
        mean = sum(r[0][key] for r in results) / 2
        assert mean == pytest.approx(losses[key].item(), rel=1e-5)
    assert results[0][0]['inter_candidates'] == losses['inter_candidates']
    for name, p in model.named_parameters():
        torch.testing.assert_close(results[0][1][name], p.grad, rtol=1e-4, atol=1e-6, msg=name)


@MODELS.register_module()
class PlainMaps(BaseModule):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)

    def forward(self, img):
        first = self.first(img)
        return first, self.second(first.relu())


@pytest.mark.parametrize('cfg', [REPO, IMPROVED])
def test_parallel_training_uses_every_parameter(cfg):
    """Two steps without ``find_unused_parameters``, one process without a visible point."""
    data = batch()
    data['points'][1, :, 0] *= -1
    results = run_distributed(_ddp_gradients, 2, (dict(cfg, valid_mask=True), data, 2))
    for _, grads in results:
        assert all(g is not None and g.isfinite().all() for g in grads.values())


# ------------------------------------------------------------------ the rest of the seam


def test_features_and_prediction():
    model = build(IMPROVED).eval()
    data = batch()
    out = model(data, mode='tensor')
    assert out['global'].shape == (B, 12) and out['local'].shape == (B, N, 12)
    assert out['xyz'].shape == (B, N, 3) and out['image'].shape == (B, N, 16)
    assert 'image' not in model(dict(points=data['points']), mode='tensor')
    samples = model(data, mode='predict')
    torch.testing.assert_close(samples[1].image_embed.norm(dim=1), torch.ones(N))
    metric = CrossModalRetrieval(num_candidates=N)
    metric.process(None, samples)
    assert metric.compute_metrics(metric.results)['queries'] > 10
    assert model.transfer_modules == {'point': 'point_encoder', 'image': 'img_encoder'}
    assert build(loss_weights=dict(intra=1)).transfer_modules == {'point': 'point_encoder'}


def test_single_precision_geometry_under_autocast():
    data = batch()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = build().loss(data)
    assert losses['match_dist'] < 1e-4 and losses['loss_inter'].dtype == torch.float32
    full = build().loss(data)
    assert losses['visible'] == full['visible']
    torch.testing.assert_close(losses['loss_intra'], full['loss_intra'], rtol=0.05, atol=0.05)


def test_it_learns_a_picture_of_the_points():
    """Pictures that show each point's intensity: pixels find their points."""
    data = batch(spread=0.45, size=1)
    model = build(
        IMPROVED,
        point_encoder=dict(type='PointwiseEncoder', embed_dim=32),
        img_head=head(16),
        point_head=head(32),
        intra_head=head(32),
    )
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 5e-3)
    first = None
    for _ in range(60):
        losses = model.loss(data)
        first = first or losses
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
    assert first['inter_top1'] < 0.15 and losses['inter_top1'] > 0.5
    assert losses['loss_intra'] < 0.5 * first['loss_intra']


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(detach='sometimes'), 'detach'),
        (dict(matcher='best'), 'matcher'),
        (dict(loss_weights=dict(intra=0, inter=0)), 'loss_weights'),
        (dict(loss_weights=dict(cross=1)), 'cross'),
        (dict(img_encoder=None), 'needs img_encoder'),
        (dict(intra_head=None), 'needs intra_head'),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_mistakes_in_the_data():
    data = batch()
    with pytest.raises(ValueError, match=r'\(B, V, 3, H, W\)'):
        build().loss(dict(data, img=data['img'][:, 0]))
    with pytest.raises(ValueError, match='common space'):
        build(loss_weights=dict(intra=1)).predict(data)
