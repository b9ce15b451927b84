import math
from pathlib import Path

import pytest
import torch
from golden_weights import assert_close, converter, golden_state_dict, load
from mmengine.config import Config
from torch.nn import functional as F

from mm3dpretrain.models.pretrainers import PointDVAE
from mm3dpretrain.models.pretrainers.point_dvae import cosine_schedule
from mm3dpretrain.registry import MODELS


def tiny(**kwargs) -> PointDVAE:
    sizes = dict(num_groups=8, group_size=8, encoder_dim=32, num_tokens=32, token_dim=16)
    schedules = dict(temperature=dict(iters=20), kl_weight=dict(iters=20, delay=5))
    return PointDVAE(**{**sizes, **schedules, 'decoder_dim': 16, **kwargs})


def sphere(batch: int = 4, num_points: int = 64) -> torch.Tensor:
    return F.normalize(torch.randn(batch, num_points, 3), dim=-1)


@pytest.mark.parametrize('name', ['dvae_small', 'dvae_full'])
def test_equals_point_bert(golden, golden_json, name):
    expected = golden(f'point_bert/{name}.npz')
    config = golden_json(f'point_bert/{name}_config.json')
    sizes = config['config']
    kind, conversion = converter('pointbert_to_mm3d').convert(golden_state_dict(config))
    assert kind == 'dvae'
    dvae = PointDVAE(
        num_groups=sizes['num_group'],
        group_size=sizes['group_size'],
        encoder_dim=sizes['encoder_dims'],
        num_tokens=sizes['num_tokens'],
        token_dim=sizes['tokens_dims'],
        decoder_dim=sizes['decoder_dims'],
    )
    load(dvae, conversion.state_dict)
    with torch.no_grad():
        patches = dvae.group(torch.from_numpy(expected['points']))
        logits, tokens = dvae.encode(patches), dvae.tokenize(patches)
        coarse, fine = dvae.decode(dvae.codebook[tokens], patches.center)
    assert tokens.dtype == torch.int64
    assert (tokens.numpy() == expected['token_argmax']).all()
    assert_close(coarse, expected['coarse_argmax'], 2e-5)
    assert_close(fine, expected['fine_argmax'], 2e-5)
    assert_close(dvae.kl_divergence(logits), expected['loss_klv'], 2e-5)
    if 'logits_stride64' in expected:
        assert_close(logits[..., ::64], expected['logits_stride64'], 2e-5)
        return

    assert_close(dvae.patch_embed.encode(patches.neighborhood), expected['patch_embed'], 2e-5)
    assert_close(logits, expected['logits'], 2e-5)
    noise = torch.from_numpy(expected['gumbel_noise'])
    soft = dvae.relax(logits, float(expected['temperature']), noise)
    codes = soft @ dvae.codebook
    assert_close(soft, expected['soft_one_hot'], 2e-5)
    assert_close(codes, expected['sampled'], 2e-5)
    assert_close(dvae.code_graph(codes, patches.center), expected['dgcnn_2'], 2e-5)
    coarse, fine = dvae.decode(codes, patches.center)
    assert_close(coarse, expected['coarse'], 2e-5)
    assert_close(fine, expected['fine'], 2e-5)
    center = patches.center[:, :, None]
    assert_close((fine + center).flatten(1, 2), expected['whole_fine'], 2e-5)
    assert_close((coarse + center).flatten(1, 2), expected['whole_coarse'], 2e-5)
    target = patches.neighborhood
    loss = dvae.reconstruction_loss(coarse, target) + dvae.reconstruction_loss(fine, target)
    assert_close(loss, expected['loss_recon'], 2e-5)


def test_relaxed_sample():
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(1, 20000, 3)
    soft = PointDVAE.relax(logits, 0.01)
    torch.testing.assert_close(soft.sum(-1), torch.ones(1, 20000))
    # at a low temperature samples are one-hot and follow the softmax of the logits
    torch.testing.assert_close(
        soft.mean((0, 1)), torch.tensor([0.0, 1.0, 2.0]).softmax(0), atol=0.02, rtol=0
    )
    assert soft.max(-1).values.mean() > 0.98
    assert PointDVAE.relax(logits, 10.0).max() < 0.9


def test_kl_divergence():
    dvae = tiny()
    assert dvae.kl_divergence(torch.zeros(2, 8, 32)).abs() < 1e-6
    # patches that each use another token are uniform on average
    assert dvae.kl_divergence(60 * torch.eye(32)[None]).abs() < 1e-4
    collapsed = torch.zeros(1, 8, 32)
    collapsed[..., 0] = 500
    kl = dvae.kl_divergence(collapsed)
    assert torch.isfinite(kl) and kl > 100


def test_schedule():
    arguments = dict(start=1.0, end=0.0625, iters=100, delay=10)
    values = [cosine_schedule(step, **arguments) for step in (0, 10, 60, 110, 10**6)]
    assert values == pytest.approx([1.0, 1.0, (1 + 0.0625) / 2, 0.0625, 0.0625])
    quarter = 0.0625 + 0.9375 * (1 + math.cos(math.pi / 4)) / 2
    assert cosine_schedule(35, **arguments) == pytest.approx(quarter)


def test_schedules_follow_the_steps_and_survive_a_resume():
    dvae, inputs = tiny(), dict(points=sphere())
    first = dvae.loss(inputs)
    assert first['temperature'] == 1 and first['loss_kl'] == 0
    for _ in range(11):
        dvae.loss(inputs)
    resumed = tiny()
    resumed.load_state_dict(dvae.state_dict())
    losses = resumed.loss(inputs)
    assert losses['temperature'] == pytest.approx(cosine_schedule(12, 1.0, 0.0625, 20))
    assert losses['kl_weight'] == pytest.approx(cosine_schedule(12, 0.0, 0.1, 20, 5))
    torch.testing.assert_close(losses['loss_kl'], losses['kl_weight'] * losses['kl'])
    # evaluation does not count
    dvae.eval().loss(inputs)
    assert dvae.iteration == 12


def test_learns_a_toy_set():
    dvae = MODELS.build(
        dict(type='PointDVAE', num_groups=8, group_size=8, encoder_dim=32, num_tokens=32)
    )
    optimizer = torch.optim.AdamW(dvae.parameters(), lr=2e-3)
    inputs, history = dict(points=sphere()), []
    for _ in range(15):
        losses = dvae(inputs, None, mode='loss')
        optimizer.zero_grad()
        (losses['loss_coarse'] + losses['loss_fine'] + losses['loss_kl']).backward()
        optimizer.step()
        history.append(losses['loss_fine'].item())
    assert sum(history[-3:]) < 0.7 * sum(history[:3])
    for name, parameter in dvae.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_features_and_prediction():
    dvae, points = tiny().eval(), sphere(2)
    feats = dvae(dict(points=points), mode='tensor')
    assert feats['global'].shape == (2, 32) and feats['local'].shape == (2, 8, 32)
    assert feats['xyz'].shape == (2, 8, 3)
    with torch.no_grad():
        samples = dvae(dict(points=points), mode='predict')
    assert len(samples) == 2
    assert samples[0].pred_points.shape == (64, 3) and samples[0].pred_coarse.shape == (16, 3)
    tokens = dvae.tokenize(dvae.group(points))
    assert (samples[1].pred_tokens == tokens[1]).all() and not tokens.requires_grad
    # decoded patches sit at their centres
    coarse, fine = dvae.decode(dvae.codebook[tokens], feats['xyz'])
    torch.testing.assert_close(
        samples[1].pred_points.view(8, 8, 3), (fine + feats['xyz'][:, :, None])[1]
    )


def test_frozen_tokenizer_stays_in_evaluation_mode():
    dvae = tiny(frozen=True)
    parent = torch.nn.ModuleDict(dict(tokenizer=dvae)).train()
    assert parent.training and not any(module.training for module in dvae.modules())
    assert not any(parameter.requires_grad for parameter in dvae.parameters())
    assert tiny().training


def test_colours_are_ignored_by_the_tokens():
    dvae, points = tiny().eval(), sphere(1)
    patches = dvae.group(points)
    coloured = patches._replace(
        neighborhood=torch.cat([patches.neighborhood, torch.rand(1, 8, 8, 3)], -1)
    )
    assert (dvae.tokenize(patches) == dvae.tokenize(coloured)).all()


@pytest.mark.parametrize('name', ['dgcnn', 'tiny'])
def test_base_configs(name):
    file = Path(__file__).parents[3] / f'configs/_base_/models/pointdvae_{name}.py'
    config = Config.fromfile(file).model
    dvae = MODELS.build(config).eval()
    tokens = dvae.tokenize(dvae.group(sphere(1, 128)))
    assert tokens.shape == (1, config.num_groups) and tokens.max() < config.num_tokens


def test_errors_name_the_values():
    with pytest.raises(ValueError, match="at least 1 iteration, got .*'iters': 0"):
        tiny(temperature=dict(iters=0))
    with pytest.raises(ValueError, match='num_points must be divisible by 4, got 10'):
        tiny(group_size=10)
    with pytest.raises(ValueError, match=r'\(B, N, 3\), got \(4, 64, 4\)'):
        tiny().loss(dict(points=torch.rand(4, 64, 4)))
