from __future__ import annotations

import copy

import mvnet_scenes as scenes
import pytest
import torch
from dist_utils import run_distributed
from mvnet_scenes import FOCAL, H, W

from mm3dpretrain.evaluation import ViewConsistencyMetric
from mm3dpretrain.models.utils.view_features import project_points
from mm3dpretrain.registry import MODELS

MATCH = dict(type='CorrespondenceHead', embed_dim=16, num_heads=2, encoder_depth=1, grid=4)
CONTRAST = dict(
    type='ContrastiveCorrespondenceHead',
    head=dict(type='ProjectionHead', in_channels=8, hidden_channels=8, out_channels=8, norm=False),
)
MVNET = dict(
    type='MVNet',
    point_encoder=dict(type='PerPointEncoder'),
    teacher=dict(type='ToyTeacher'),
    encoder_levels=(1, 0),
    match_head=MATCH,
    projector=dict(type='PointProjector', tolerance=0.05),
)


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build({**copy.deepcopy(MVNET), **changes})


def total(losses):
    return sum(v for k, v in losses.items() if 'loss' in k)


def gradients(model, part='point_encoder'):
    return torch.cat(
        [
            torch.zeros(p.numel()) if p.grad is None else p.grad.flatten()
            for p in model.get_submodule(part).parameters()
        ]
    )


# --------------------------------------------------------------------------- the terms


@pytest.mark.parametrize('term', ['transfer', 'consistency'])
@pytest.mark.parametrize('match_head', [MATCH, CONTRAST], ids=['regression', 'contrast'])
def test_each_term_alone_reaches_the_encoder(term, match_head):
    model = build(loss_weights={term: 2.0}, match_head=match_head)
    if term == 'consistency':
        with torch.no_grad():  # the regression begins without looking at the features
            for parameter in model.match_head.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    out = model.loss(scenes.batch())
    assert [k for k in out if k.startswith('loss')] == [f'loss_{term}']
    total(out).backward()
    assert gradients(model).abs().sum() > 0
    if term == 'transfer':
        assert all(p.grad is None for p in model.teacher.network.parameters())
        assert not hasattr(model, 'match_head')
    else:
        assert not hasattr(model, 'teacher')


def test_a_term_of_weight_zero_needs_no_parts():
    model = build(loss_weights=dict(transfer=1.0, consistency=0.0), match_head=None)
    inputs = scenes.batch()
    for name in ('queries', 'targets', 'query_valid'):
        del inputs[name]
    assert total(model.loss(inputs)).isfinite()
    model = build(loss_weights=dict(consistency=1.0), teacher=None, encoder_levels=None)
    assert total(model.loss(scenes.batch())).isfinite()


def test_weights_scale_their_terms():
    inputs = scenes.batch()
    plain = build().loss(inputs)
    scaled = build(loss_weights=dict(transfer=3.0, consistency=0.5)).loss(inputs)
    torch.testing.assert_close(scaled['loss_transfer'], 3 * plain['loss_transfer'])
    torch.testing.assert_close(scaled['loss_consistency'], plain['loss_consistency'] / 2)


def test_every_parameter_learns():
    """No find_unused_parameters in a distributed training."""
    model = build()
    with torch.no_grad():
        for parameter in model.match_head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    inputs = scenes.batch()
    total(model.loss(inputs)).backward()
    lacking = [n for n, p in model.named_parameters() if p.grad is None]
    assert lacking == []


def test_no_transfer_loss_for_the_teachers_own_maps():
    model = build(loss_weights=dict(transfer=1.0), encoder_levels=None)
    levels = model.teacher_views(scenes.batch())
    for level in levels:
        assert level.mask.any()
        assert model.transfer_loss(level.target, level.target, level.mask) == 0


def test_pixels_without_points_do_not_matter():
    """Neither do points that are hidden, or that lie where depth says something else."""
    model = build(loss_weights=dict(transfer=1.0), encoder_levels=(1, 1)).eval()
    inputs = scenes.batch()
    views = project_points(inputs, model.projector)
    assert 0 < views.seen.any(1).float().mean() < 1
    unseen = ~views.seen.any(1)
    value = model.loss(inputs)['loss_transfer']
    changed = dict(inputs, points=inputs['points'].clone())
    changed['points'][..., 3:][unseen] = 7.0  # their colours
    torch.testing.assert_close(model.loss(changed)['loss_transfer'], value)
    changed['points'][..., 3:][~unseen] = 7.0
    assert (model.loss(changed)['loss_transfer'] - value).abs() > 1e-4


def test_gradients_reach_the_seen_points_only():
    model = build(loss_weights=dict(transfer=1.0), encoder_levels=(1, 1))
    inputs = scenes.batch()
    points = inputs['points'].clone().requires_grad_()
    model.loss(dict(inputs, points=points))['loss_transfer'].backward()
    views = project_points(inputs, model.projector)
    moved = points.grad[..., 3:].abs().sum(-1) > 0
    assert moved.any() and not (moved & ~views.seen.any(1)).any()


@pytest.mark.parametrize('loss', ['depth', 'queries', 'behind'])
def test_views_that_see_nothing_give_zero(loss):
    model = build()
    inputs = scenes.batch()
    inputs['query_valid'] = inputs['query_valid'] & False
    if loss == 'depth':
        inputs['depth'] = inputs['depth'] * 0
    elif loss == 'behind':
        turn = torch.diag(torch.tensor([-1.0, 1, -1, 1]))
        inputs['extrinsics'] = turn @ inputs['extrinsics']
    out = model.loss(inputs)
    total(out).backward()
    assert out['loss_consistency'] == 0 and all(v.isfinite() for v in out.values())
    assert (out['loss_transfer'] == 0) == (loss != 'queries')
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_projection_agrees_with_a_loop():
    """Nearest visible point of every cell, the lowest index of equals, from the formula."""
    model = build(loss_weights=dict(transfer=1.0), encoder_levels=None)
    inputs = scenes.batch(num=300)
    inputs['points'] = torch.cat([inputs['points'], inputs['points'][:, :50]], 1)  # ties
    views = project_points(inputs, model.projector)
    features = torch.randn(2, 350, 4)
    maps, mask = views.maps(features, model.projector, (3, 4), (24, 32))
    for b in range(2):
        for v in range(2):
            best = {}
            for i, xyz in enumerate(inputs['points'][b, :, :3]):
                camera = (
                    inputs['extrinsics'][b, v, :3, :3] @ xyz + inputs['extrinsics'][b, v, :3, 3]
                )
                z = camera[2]
                at, row = FOCAL * camera[0] / z + W / 2, FOCAL * camera[1] / z + H / 2
                if z <= 0 or not (0 <= at < W and 0 <= row < H):
                    continue
                if (z - inputs['depth'][b, v, int(row), int(at)]).abs() >= 0.05:
                    continue
                cell = int(row) * 3 // 24, int(at) * 4 // 32
                if cell not in best or z < best[cell][0] - 1e-6:
                    best[cell] = (z, i)
            for row in range(3):
                for column in range(4):
                    assert mask[b, v, row, column] == ((row, column) in best)
                    if (row, column) in best:
                        expected = features[b, best[row, column][1]]
                        assert torch.equal(maps[b, v, :, row, column], expected)


def test_padded_pictures_keep_their_pixels():
    """A teacher of 8-pixel cells on 20 x 27 pixels: as the same picture with black around it."""
    inputs = scenes.batch()
    cut = dict(inputs, img=inputs['img'][..., :20, :27], depth=inputs['depth'][..., :20, :27])
    padded = dict(inputs, img=torch.zeros(2, 2, 3, 24, 32), depth=torch.zeros(2, 2, 24, 32))
    padded['img'][..., :20, :27], padded['depth'][..., :20, :27] = cut['img'], cut['depth']
    model = build(loss_weights=dict(transfer=1.0))
    ours, theirs = model.teacher_views(cut), model.teacher_views(padded)
    for a, b in zip(ours, theirs):
        assert all(map(torch.equal, a, b))


# --------------------------------------------------------------------------- masking


def test_mask_ratio_zero_equals_no_masking():
    inputs = scenes.batch()
    plain, zero = build().train(), build(mask_ratio=0.0, mask_block=0.5).train()
    for key, value in plain.loss(inputs).items():
        assert torch.equal(zero.loss(inputs)[key], value)


@pytest.mark.parametrize('block', [None, 0.5])
def test_masking_hides_points_in_training_only(block):
    model = build(mask_ratio=0.4, mask_block=block)
    seen = []
    model.point_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    out = model.train().loss(scenes.batch())
    total(out).backward()
    assert gradients(model).isfinite().all() and total(out).isfinite()
    model.eval().loss(scenes.batch())
    model.train().predict(scenes.batch())
    assert seen == [360, 600, 600]


# --------------------------------------------------------------------------- cached features


def cached(model, inputs):
    maps = model.teacher(inputs['img'].flatten(0, 1))
    key = model.teacher.key(model.data_preprocessor, (H, W))
    found = {f'teacher_{k}': m.unflatten(0, (2, 2)) for k, m in enumerate(maps)}
    return dict(inputs, **found), [dict(teacher_key=key)] * 2


def test_cached_and_live_features_give_the_same_loss():
    model, inputs = build(), scenes.batch()
    live = model.loss(inputs)
    inputs, samples = cached(model, inputs)
    model.teacher.forward = None  # must not be asked
    for key, value in model.loss(inputs, samples).items():
        assert torch.equal(value, live[key])


def test_features_of_another_teacher_are_refused():
    model = build()
    inputs, samples = cached(build(teacher=dict(type='ToyTeacher', seed=1)), scenes.batch())
    with pytest.raises(ValueError, match='precompute_teacher_features'):
        model.loss(inputs, samples)
    with pytest.raises(ValueError, match='precompute_teacher_features'):
        model.loss(inputs)


# --------------------------------------------------------------------------- distributed


def _step(rank, world_size, match_head):
    model = build(match_head=match_head)
    with torch.no_grad():
        for name, parameter in model.match_head.named_parameters():
            g = torch.Generator().manual_seed(len(name))
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g))
    inputs = scenes.batch(size=4)
    rows = slice(None) if world_size == 1 else slice(2 * rank, 2 * rank + 2)
    out = model.loss({k: v[rows] for k, v in inputs.items()})
    total(out).backward()
    return total(out).detach(), gradients(model)


@pytest.mark.parametrize('match_head', [MATCH, CONTRAST], ids=['regression', 'contrast'])
def test_two_processes_equal_one(match_head):
    parts = run_distributed(_step, 2, (match_head,))
    loss, grad = _step(0, 1, match_head)
    torch.testing.assert_close(sum(p[0] for p in parts) / 2, loss)
    torch.testing.assert_close(sum(p[1] for p in parts) / 2, grad, rtol=1e-4, atol=1e-6)


# --------------------------------------------------------------------------- the rest


def test_predictions_can_be_judged():
    model = build().eval()
    inputs = scenes.batch()
    samples = model(inputs, mode='predict')
    assert samples[0].pred_targets.shape == (2, 12, 2)
    assert samples[1].teacher_similarity.shape == (2,)
    metric = ViewConsistencyMetric()
    metric.process(None, samples)
    figures = metric.compute_metrics(metric.results)
    assert 0 < figures['median_px'] < 40 and -1 <= figures['teacher_cosine_1'] <= 1
    features = model(inputs, mode='tensor')
    assert features['local'].shape == (2, 600, 8)


def test_targets_are_the_teacher_without_its_constant():
    inputs = scenes.batch()
    raw = build(standardize_teacher=False).teacher_views(inputs)
    model = build().train()
    model.loss(inputs)
    for level, plain in zip(model.eval().teacher_views(inputs), raw):
        rows = plain.target.double()
        mean = rows.mean((0, 1, 3, 4), keepdim=True)
        deviation = rows.var((0, 1, 3, 4), keepdim=True, unbiased=False).add(1e-6).sqrt()
        torch.testing.assert_close(level.target, ((rows - mean) / deviation).float())
        assert not torch.allclose(level.target, plain.target)


@pytest.mark.parametrize(('standardize', 'steps'), [(False, 25), (True, 80)])
def test_learns_and_the_teacher_does_not(standardize, steps):
    """Without what a constant explains there is more to learn, and it takes longer."""
    weights = dict(transfer=1.0, consistency=1.0)
    model = build(loss_weights=weights, standardize_teacher=standardize).train()
    before = [p.clone() for p in model.teacher.network.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    inputs = scenes.batch(queries=64)
    values = []
    for _ in range(steps):
        out = model.loss(inputs)
        optimizer.zero_grad()
        total(out).backward()
        optimizer.step()
        values.append([out['loss_transfer'].item(), out['loss_consistency'].item()])
    assert all(last < 0.8 * first for first, last in zip(values[0], values[-1]))
    assert all(map(torch.equal, before, model.teacher.network.parameters()))
    assert model.teacher.network.training is False
    assert not any('teacher' in key for key in model.state_dict())


def test_bad_settings():
    with pytest.raises(ValueError, match="'transfer' term needs teacher"):
        build(teacher=None)
    with pytest.raises(ValueError, match="'consistency' term needs match_head"):
        build(match_head=None)
    with pytest.raises(ValueError, match='loss_weights must give'):
        build(loss_weights=dict(transfert=1.0))
    with pytest.raises(ValueError, match='loss_weights must give'):
        build(loss_weights=dict(transfer=0.0))
    with pytest.raises(ValueError, match='one entry for each of the 2 maps'):
        build(encoder_levels=(0,))
    with pytest.raises(ValueError, match='names level 3, but the encoder has 2'):
        build(encoder_levels=(3, 0))
    with pytest.raises(ValueError, match='masked points must be in'):
        build(mask_ratio=1.0)
    with pytest.raises(ValueError, match='there is no teacher'):
        build(loss_weights=dict(consistency=1.0)).teacher_views(scenes.batch())


@pytest.mark.gpu
def test_cuda_agrees_with_cpu():
    model, inputs = build(), scenes.batch()
    expected = model.loss(inputs)
    model = model.cuda()
    assert next(model.teacher.network.parameters()).is_cuda
    found = model.loss({k: v.cuda() for k, v in inputs.items()})
    for key, value in expected.items():
        torch.testing.assert_close(found[key].cpu(), value, rtol=1e-3, atol=1e-4)
