from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from dist_utils import run_distributed
from golden_weights import converter, golden_state_dict
from torch import nn

from mm3dpretrain.models.encoders import Patches
from mm3dpretrain.models.heads import MomentumContrast
from mm3dpretrain.models.pretrainers import DRPoint
from mm3dpretrain.registry import MODELS

DIM = 24
ALL_TERMS = {'token', 'moco', 'cd', 'dr', 'rd', 'rp', 'pd'}


@MODELS.register_module()
class TinyImageNet(nn.Module):
    """An image network small enough for tests."""

    out_channels = 8

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)

    def forward(self, img):
        return self.conv(img).relu()


def head(channels):
    return dict(type='ProjectionHead', in_channels=channels, hidden_channels=16, out_channels=8)


def config(**changes):
    cfg = dict(
        type='DRPoint',
        data_preprocessor=dict(type='PretrainDataPreprocessor', mean=[0] * 3, std=[255] * 3),
        point_encoder=dict(
            type='PointTransformer',
            num_groups=8,
            group_size=8,
            encoder_dim=16,
            embed_dim=DIM,
            depth=2,
            num_heads=2,
            hidden_dims=(8, 16, 16),
        ),
        tokenizer=dict(
            type='PointDVAE',
            num_groups=8,
            group_size=8,
            encoder_dim=16,
            num_tokens=32,
            token_dim=16,
            decoder_dim=16,
            hidden_dims=(8, 16, 16),
            graph_dims=(8, 8, 8),
        ),
        token_head=dict(type='MaskedTokenHead', in_channels=DIM, num_tokens=32),
        moco_head=dict(
            type='ProjectionHead',
            in_channels=DIM,
            hidden_channels=16,
            out_channels=16,
            norm=False,
            activation='gelu',
        ),
        momentum_contrast=dict(type='MomentumContrast', dim=16, queue_size=12, momentum=0.9),
        point_decoder=dict(type='PointDecoder', embed_dim=DIM, depth=1, num_heads=2, group_size=8),
        renderer=dict(type='PointSplatRenderer', radius=2.0),
        views=dict(type='CubeCornerViews', image_size=16),
        image_encoder=dict(type='ImageEncoder', backbone=dict(type='TinyImageNet')),
        depth_encoder=dict(type='ImageEncoder', backbone=dict(type='TinyImageNet')),
        heads=dict(rgb=head(8), depth=head(8), points=head(2 * DIM)),
        loss_weights=dict(token=1.0, moco=0.5, cd=2.0, dr=0.1, rd=0.3, rp=0.2, pd=0.4),
    )
    cfg.update(changes)
    return cfg


def build(**changes) -> DRPoint:
    model = MODELS.build(config(**changes))
    model.init_weights()
    return model.train()


def batch(size=4):
    return dict(points=torch.rand(size, 64, 3) - 0.5, img=torch.rand(size, 3, 16, 16))


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


# ------------------------------------------------------------------------------ terms


def test_all_terms_are_there_and_train_every_part():
    model = build()
    losses = model.loss(batch())
    assert {k.removeprefix('loss_') for k in losses if 'loss' in k} == ALL_TERMS
    total(losses).backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not silent
    frozen = {n.split('.')[0] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {'tokenizer', 'key'}


def test_total_is_the_weighted_sum_of_the_terms():
    data = batch()
    torch.manual_seed(1)
    weighted = build().loss(data)
    torch.manual_seed(1)
    plain = build(loss_weights=dict.fromkeys(ALL_TERMS, 1.0)).loss(data)
    for term, weight in config()['loss_weights'].items():
        torch.testing.assert_close(weighted[f'loss_{term}'], weight * plain[f'loss_{term}'])
    model = build()
    parsed, _ = model.parse_losses(weighted)
    torch.testing.assert_close(parsed, total(weighted))


@pytest.mark.parametrize('term', sorted(ALL_TERMS))
def test_a_term_alone_needs_no_other_parts(term):
    needs = dict(
        token=['tokenizer', 'token_head'],
        moco=['token_head', 'moco_head', 'momentum_contrast'],
        cd=['token_head', 'point_decoder'],
        dr=['token_head', 'point_decoder', 'renderer', 'views'],
        rp=['image_encoder', 'heads'],
        rd=['token_head', 'point_decoder', 'renderer', 'views', 'image_encoder', 'depth_encoder']
        + ['heads'],
        pd=['token_head', 'point_decoder', 'renderer', 'views', 'depth_encoder', 'heads'],
    )
    cfg = config(loss_weights={term: 1.0}, contrast_depth='recon_grad')
    parts = {'type', 'contrast_depth', 'data_preprocessor', 'point_encoder', 'loss_weights'}
    cfg = {k: v for k, v in cfg.items() if k in parts | set(needs[term])}
    model = MODELS.build(cfg).train()
    losses = model.loss(batch())
    assert [k for k in losses if 'loss' in k] == [f'loss_{term}']
    losses[f'loss_{term}'].backward()
    encoder = [p.grad for p in model.point_encoder.parameters()]
    assert any(g is not None and g.abs().sum() > 0 for g in encoder)
    # leaving out any needed part is one clear error
    for name in needs[term]:
        with pytest.raises(ValueError, match=name):
            MODELS.build({k: v for k, v in cfg.items() if k != name})


@pytest.mark.parametrize('term', sorted(ALL_TERMS))
def test_weight_zero_removes_a_term(term):
    weights = dict(config()['loss_weights'], **{term: 0.0})
    losses = build(loss_weights=weights).loss(batch())
    assert {k.removeprefix('loss_') for k in losses if 'loss' in k} == ALL_TERMS - {term}


@pytest.mark.parametrize(
    'modalities, gone',
    [
        (('rgb', 'points'), {'rd', 'pd'}),
        (('depth', 'points'), {'rd', 'rp'}),
        (('points',), {'rd', 'rp', 'pd'}),
    ],
)
def test_modalities(modalities, gone):
    model = build(modalities=modalities)
    losses = model.loss(batch())
    assert {k.removeprefix('loss_') for k in losses if 'loss' in k} == ALL_TERMS - gone
    assert (model.image_encoder is None) == ('rgb' not in modalities)
    assert (model.depth_encoder is None) == ('depth' not in modalities)


# ------------------------------------------------------------------------------ rendering


def test_render_loss_is_zero_for_a_perfect_reconstruction(monkeypatch):
    model = build()
    data = batch()
    monkeypatch.setattr(model, '_cloud', lambda relative, patches: data['points'])
    losses = model.loss(data)
    assert losses['loss_dr'] == 0
    assert losses['loss_cd'] == 0


def test_truth_picture_has_no_gradient_and_depth_contrast_follows_its_source():
    for source, expected in (('recon_grad', True), ('recon', False), ('input', False)):
        model = build(loss_weights=dict(pd=1.0, cd=1.0), contrast_depth=source)
        losses = model.loss(batch())
        losses['loss_pd'].backward()
        reached = model.point_decoder.to_points.weight.grad
        assert (reached is not None and reached.abs().sum() > 0) == expected


def test_decoder_output_has_all_points_and_centres_once():
    model = build().eval()
    points = batch()['points']
    out = model.reconstruct(points)
    assert out['cloud'].shape == (4, 64, 3)
    assert out['depth'].shape == out['depth_true'].shape == (4, 8, 16, 16)
    for param in model.point_decoder.to_points.parameters():
        nn.init.zeros_(param)
    center = model.point_encoder.group(points).center
    expected = center[:, :, None].expand(-1, -1, 8, -1).flatten(1, 2)
    torch.testing.assert_close(model.reconstruct(points)['cloud'], expected)


def test_per_patch_chamfer():
    model = build(chamfer_loss=dict(type='ChamferLoss', per_patch=True), loss_weights=dict(cd=1.0))
    assert model.loss(batch())['loss_cd'] > 0


def test_own_encoder_for_the_reconstruction():
    model = build(share_encoder=False, loss_weights=dict(cd=1.0))
    model.loss(batch())['loss_cd'].backward()
    assert all(p.grad is None for p in model.point_encoder.blocks.parameters())
    assert any(p.grad is not None for p in model.reconstruction_encoder.blocks.parameters())


# ------------------------------------------------------------------------------ token level


@pytest.mark.parametrize('kind', ['block', 'random'])
def test_mask_counts_and_only_masked_patches_count(kind):
    model = build(mask_type=kind)
    center = torch.rand(64, 32, 3)
    counts = model._mask(center).sum(1)
    assert counts.min() >= int(0.25 * 32) and counts.max() <= int(0.45 * 32)
    assert len(counts.unique()) > 3


def test_tokenizer_is_frozen_and_stays_in_eval_mode():
    model = build()
    before = copy.deepcopy(model.tokenizer.state_dict())
    assert not model.tokenizer.training and model.point_encoder.training
    total(model.loss(batch())).backward()
    assert all(p.grad is None for p in model.tokenizer.parameters())
    for name, value in model.tokenizer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_patch_embedding_starts_from_the_tokenizer():
    def same(model):
        ours, theirs = model.point_encoder.patch_embed, model.tokenizer.patch_embed
        return torch.equal(ours.first[0].weight, theirs.first[0].weight)

    assert same(build()) and not same(build(init_patch_embed=False))


def test_key_network_follows_and_gets_no_gradient():
    model = build()
    sources = model._key_sources()
    for name in sources:
        for twin, source in zip(model.key[name].parameters(), sources[name].parameters()):
            assert torch.equal(twin, source)
    old = copy.deepcopy(model.key)
    with torch.no_grad():
        for param in model.point_encoder.parameters():
            param.add_(1.0)
    total(model.loss(batch())).backward()
    moved = 0
    for name, source in model._key_sources().items():
        for twin, before, param in zip(
            model.key[name].parameters(), old[name].parameters(), source.parameters()
        ):
            torch.testing.assert_close(twin, 0.9 * before + 0.1 * param.detach())
            assert twin.grad is None and not twin.requires_grad
            moved += not torch.equal(twin, before)
    assert moved > 10


def test_queue_wraps_and_keeps_unit_vectors():
    contrast = MomentumContrast(dim=4, queue_size=6)
    keys = torch.randn(4, 3, 4) * 5
    for key in keys:
        contrast.enqueue(key)
    unit = nn.functional.normalize(keys, dim=-1)
    torch.testing.assert_close(contrast.queue, torch.cat([unit[2], unit[3]]))
    assert contrast.pointer.item() == 0
    contrast.enqueue(keys[0])
    assert contrast.pointer.item() == 3
    torch.testing.assert_close(contrast.queue.norm(dim=1), torch.ones(6))
    with pytest.raises(ValueError, match='multiple of the global batch size 4'):
        contrast.enqueue(torch.randn(4, 4))


@pytest.mark.parametrize('kind', ['moco', 'mixup', 'both', 'none'])
def test_token_contrasts(kind):
    losses = build(token_contrast=kind).loss(batch())
    assert ('loss_moco' in losses) == (kind != 'none')
    assert torch.isfinite(total(losses))


@pytest.mark.parametrize('variant', ['moco_on', 'release'])
def test_step_equals_point_bert(golden, golden_json, monkeypatch, variant):
    """Losses, queue, momentum update and gradients of Point-BERT's whole pre-training step."""
    ref = golden('point_bert/pretrain_losses_small.npz')
    cfg = golden_json('point_bert/pretrain_losses_small_config.json')
    weights = golden_state_dict(cfg)
    convert = converter('pointbert_to_mm3d').convert
    state = dict(convert(weights)[1].state_dict)
    twin = {
        k.replace('transformer_k.', 'transformer_q.'): v
        for k, v in weights.items()
        if not k.startswith('transformer_q.')
    }
    for key, value in convert(twin)[1].state_dict.items():
        part, _, rest = key.partition('.')
        if part == 'point_encoder':
            state[f'key.encoder.{rest}'] = value
        elif part == 'moco_head':
            state[f'key.head.{rest}'] = value
        elif key == 'token_head.mask_token':
            state['key.mask_token.weight'] = value
    state['momentum_contrast.queue'] = torch.from_numpy(ref['queue_before']).T.contiguous()
    state['momentum_contrast.pointer'] = torch.from_numpy(ref['queue_ptr_before']).long()

    t, d = cfg['transformer_config'], cfg['dvae_config']
    grouping = dict(num_groups=d['num_group'], group_size=d['group_size'])
    model = MODELS.build(
        config(
            point_encoder=dict(
                type='PointTransformer',
                encoder_dim=d['encoder_dims'],
                embed_dim=t['trans_dim'],
                depth=t['depth'],
                num_heads=t['num_heads'],
                **grouping,
            ),
            tokenizer=dict(
                type='PointDVAE',
                encoder_dim=d['encoder_dims'],
                num_tokens=d['num_tokens'],
                token_dim=d['tokens_dims'],
                decoder_dim=d['decoder_dims'],
                **grouping,
            ),
            token_head=dict(
                type='MaskedTokenHead', in_channels=t['trans_dim'], num_tokens=d['num_tokens']
            ),
            moco_head=dict(
                type='ProjectionHead',
                in_channels=t['trans_dim'],
                hidden_channels=t['cls_dim'],
                out_channels=t['cls_dim'],
                norm=False,
                activation='gelu',
            ),
            momentum_contrast=dict(
                type='MomentumContrast',
                dim=t['cls_dim'],
                queue_size=cfg['K'],
                temperature=cfg['T'],
                momentum=cfg['m'],
            ),
            loss_weights=dict(token=1.0, moco=1.0),
            token_contrast='both' if variant == 'moco_on' else 'mixup',
        )
    )
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all('num_batches_tracked' in k for k in missing)
    model.eval()

    masks = iter([torch.from_numpy(ref[f'mask_{k}']) for k in ('query', 'mix', 'key')])
    monkeypatch.setattr(model, '_mask', lambda center: next(masks))
    keep, ratio = torch.from_numpy(ref['mix_keep']), torch.from_numpy(ref['mix_ratio'])

    def mix(patches: Patches):
        from mm3dpretrain.models.pretrainers.drpoint import _mix_patches

        return _mix_patches(patches, keep), keep, ratio

    monkeypatch.setattr(model, '_mix', mix)
    losses = model.loss(dict(points=torch.from_numpy(ref['points'])))
    expected = ref[f'{variant}/loss_first'] + ref[f'{variant}/loss_cutmix']
    np.testing.assert_allclose(total(losses).item(), expected, rtol=1e-5)
    np.testing.assert_allclose(losses['loss_token'].item(), ref['loss_dvae'], rtol=1e-5)
    total(losses).backward()
    scale = np.abs(ref[f'{variant}/grad_q_cls_token']).max()
    np.testing.assert_allclose(
        model.point_encoder.cls_token.grad, ref[f'{variant}/grad_q_cls_token'], atol=1e-5 * scale
    )
    scale = np.abs(ref[f'{variant}/grad_q_lm_head_bias']).max()
    np.testing.assert_allclose(
        model.token_head.classifier.bias.grad,
        ref[f'{variant}/grad_q_lm_head_bias'],
        atol=1e-5 * scale,
    )
    np.testing.assert_allclose(model.momentum_contrast.queue.T, ref['queue_after'], atol=1e-5)
    assert model.momentum_contrast.pointer.item() == ref['queue_ptr_after'].item()
    np.testing.assert_allclose(
        model.key['encoder'].cls_token, ref['key_cls_token_after'], rtol=1e-5, atol=1e-7
    )


# ------------------------------------------------------------------------------ whole


def test_it_learns_on_a_toy():
    """Every term falls when a few fixed clouds are shown again and again."""
    torch.manual_seed(0)
    model = build(loss_weights=dict.fromkeys(ALL_TERMS, 1.0))
    data = batch()
    data['points'] = data['points'] * torch.tensor([1.0, 0.6, 0.3])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    history = []
    for _ in range(60):
        losses = model.loss(data)
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        history.append({k: v.item() for k, v in losses.items() if 'loss' in k})

    def mean(part, name):
        return np.mean([h[name] for h in part])

    for name in ('loss_token', 'loss_cd', 'loss_dr', 'loss_rd', 'loss_rp', 'loss_pd'):
        assert mean(history[-10:], name) < 0.9 * mean(history[:10], name), name


def test_features_are_those_of_the_encoder():
    model = build().eval()
    points = batch()['points']
    feats = model(dict(points=points), mode='tensor')
    assert torch.equal(feats['global'], model.point_encoder(points)['global'])
    samples = model(dict(points=points), mode='predict')
    assert torch.equal(samples[2].feat_global, feats['global'][2])
    assert model.transfer_modules == {'point': 'point_encoder', 'image': 'image_encoder'}
    with pytest.raises(ValueError, match='mode'):
        model(dict(points=points), mode='train')


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(loss_weights=dict(chamfer=1.0)), 'chamfer'),
        (dict(modalities=('rgb', 'lidar')), 'lidar'),
        (dict(loss_weights={}), 'no term'),
        (dict(token_contrast='simclr'), 'simclr'),
        (dict(contrast_depth='both'), 'both'),
        (dict(mask_type='grid'), 'grid'),
        (dict(num_views=9), 'num_views'),
        (dict(heads=dict(rgb=head(8), depth=head(8))), 'points'),
        (dict(tokenizer=dict(config()['tokenizer'], num_groups=16)), 'num_groups'),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_missing_image_is_named():
    with pytest.raises(ValueError, match="no 'img'"):
        build().loss(dict(points=batch()['points']))


def _two_process_step(rank, world_size, state, data, masks):
    model = build()
    model.load_state_dict(state)
    return _step(model, rank, world_size, data, masks)


def _step(model, rank, world_size, data, masks):
    """Loss and gradients with everything random fixed; batch norm off, so that ranks agree."""
    model.eval()
    part = slice(rank * len(masks[0]) // world_size, (rank + 1) * len(masks[0]) // world_size)
    chosen = iter(m[part] for m in masks)
    model._mask = lambda center: next(chosen)
    model._draw_views = lambda device: model.cameras.select_views([3])
    losses = model.loss({k: v[part] for k, v in data.items()})
    total(losses).backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {k: v.item() for k, v in losses.items() if 'loss' in k}, grads, model.momentum_contrast


def test_two_processes_equal_one():
    model = build()
    state = copy.deepcopy(model.state_dict())
    data = batch(4)
    masks = [torch.rand(4, 8) < torch.tensor([0.2, 0.4, 0.6, 0.8])[:, None] for _ in range(2)]
    for mask in masks:
        mask[:, 0] = True
    losses, grads, contrast = _step(model, 0, 1, data, masks)
    results = run_distributed(_two_process_step, 2, (state, data, masks))
    for name, value in losses.items():
        np.testing.assert_allclose(np.mean([r[0][name] for r in results]), value, rtol=1e-4)
    for name, grad in grads.items():
        mean = (results[0][1][name] + results[1][1][name]) / 2
        torch.testing.assert_close(mean, grad, rtol=1e-3, atol=1e-5)
    for _, _, other in results:
        torch.testing.assert_close(other.queue, contrast.queue, rtol=1e-4, atol=1e-5)
