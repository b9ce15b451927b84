from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
import toy_parts  # noqa: F401
from dist_utils import run_distributed
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from torch import nn

from mm3dpretrain.models.pretrainers import MRD
from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

WIDTH = 12
PARTS = dict(
    alignment=dict(type='MultiModalAlignmentLoss'),
    intra_loss=dict(type='IntraRelationLoss'),
    cross_loss=dict(type='CrossRelationLoss'),
)


@MODELS.register_module(force=True)
class ToyCLIP(BaseModule):
    """Both towers of a vision-language model, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Linear(3, WIDTH)
        self.text = nn.Embedding(7, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH)

    def encode_image(self, img):
        return self.norm(self.image(img.mean((2, 3))))

    def encode_text(self, tokens):
        return self.text(tokens).mean(1)


def model(**kwargs) -> MRD:
    encoder = dict(type='ToyEncoder', width=16, in_channels=6)
    return MRD(**{**dict(point_encoder=encoder, embed_dim=WIDTH), **PARTS, **kwargs})


def batch(size=10):
    return dict(
        points=torch.rand(size, 32, 6),
        image_embeds=torch.randn(size, WIDTH),
        text_embeds=torch.randn(size, WIDTH),
        has_image=torch.ones(size),  # float, as the data preprocessor leaves it
        has_text=torch.ones(size),
    )


def total(outputs):
    return sum(value for name, value in outputs.items() if 'loss' in name)


def test_terms_and_figures():
    mrd = model(intra_weight=2.0, dynamic_weights=dict(type='FixedWeights'))
    outputs = mrd.loss(batch())
    terms = {'align_image', 'align_text', 'intra_image', 'intra_text', 'cross_image', 'cross_text'}
    assert {name for name in outputs if 'loss' in name} == {f'loss_{term}' for term in terms}
    assert {'top1_image', 'top1_text', 'logit_scale'} <= set(outputs)
    for term in terms - {'align_image', 'align_text'}:
        factor = 2.0 if 'intra' in term else 1.0
        torch.testing.assert_close(outputs[f'loss_{term}'], factor * outputs[term])
        assert outputs[f'weight_{term}'] == 1 and not outputs[term].requires_grad
    loss, log = mrd.parse_losses(outputs)
    torch.testing.assert_close(loss, total(outputs))
    assert set(outputs) <= set(log)


def test_parts_come_and_go():
    assert {n for n in model(intra_loss=None, cross_loss=None).loss(batch()) if 'loss' in n} == {
        'loss_align_image',
        'loss_align_text',
    }
    fused = model(alignment=None, cross_loss=None, intra_loss=dict(type='FusedIntraRelationLoss'))
    outputs = fused.loss(batch())
    assert {n for n in outputs if 'loss' in n} == {'loss_intra_fused'}
    assert outputs['intra_share'] == 0.5
    # image only: texts are neither read nor needed
    image = dict(type='MultiModalAlignmentLoss', weights=dict(image=1.0))
    inputs = batch()
    del inputs['text_embeds'], inputs['has_text'], inputs['has_image']
    outputs = model(alignment=image, intra_loss=None, cross_loss=None).loss(inputs)
    assert {n for n in outputs if 'loss' in n} == {'loss_align_image'}
    with pytest.raises(ValueError, match='no loss is left'):
        model(alignment=None, intra_loss=None, cross_loss=None)
    with pytest.raises(ValueError, match='intra_weight'):
        model(intra_weight=0)
    with pytest.raises(ValueError, match='sound'):
        model(intra_loss=dict(type='IntraRelationLoss', teachers=('sound',)))


def test_gradients_reach_student_scale_and_weights_only():
    mrd, inputs = model(), batch()
    for name in ('image_embeds', 'text_embeds'):
        inputs[name].requires_grad_()
    total(mrd.loss(inputs)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mrd.parameters())
    names = {name.split('.')[0] for name, _ in mrd.named_parameters()}
    assert names == {'point_encoder', 'projection', 'alignment', 'dynamic_weights'}
    assert inputs['image_embeds'].grad is None and inputs['text_embeds'].grad is None


def test_samples_without_text_and_image():
    mrd, inputs = model().eval(), batch(12)
    inputs['has_text'][[1, 4, 5]] = 0
    inputs['has_image'][7] = 0
    outputs = mrd.loss(inputs)
    assert all(torch.isfinite(v) for v in outputs.values())
    # what is missing may be anything
    inputs['text_embeds'][[1, 4, 5]] = 0
    inputs['image_embeds'][7] = 100.0
    torch.testing.assert_close(mrd.loss(inputs), outputs)
    # the text terms are those of the samples with text
    keep = inputs['has_text'].bool()
    fewer = mrd.loss({name: value[keep] for name, value in inputs.items()})
    for name in ('loss_align_text', 'intra_text', 'cross_text', 'cross_image'):
        torch.testing.assert_close(outputs[name], fewer[name])


def test_features_and_predictions():
    mrd = model().eval()
    inputs = dict(points=torch.rand(3, 32, 6))
    feats = mrd.extract_feat(inputs)
    assert feats['global'].shape == (3, 16) and feats['embed'].shape == (3, WIDTH)
    torch.testing.assert_close(feats['embed'].norm(dim=1), torch.ones(3))
    samples = mrd(inputs, [PretrainDataSample() for _ in range(3)], mode='predict')
    assert torch.equal(samples[1].feat_embed, feats['embed'][1])
    assert mrd.transfer_modules == {'point': 'point_encoder'}


def test_no_clip_is_needed():
    before = set(sys.modules)
    mrd = model()
    total(mrd.loss(batch())).backward()
    assert not any(name.split('.')[0] == 'open_clip' for name in set(sys.modules) - before)


def test_live_teachers_give_what_the_cache_would():
    torch.manual_seed(1)
    mrd = model(image_teacher=dict(type='ToyCLIP'), text_teacher=dict(type='ToyCLIP'))
    mrd.train()
    assert not mrd.teachers['image'].training and not mrd.teachers['text'].norm.training
    inputs = dict(
        points=torch.rand(6, 32, 6),
        img=torch.rand(6, 3, 8, 8),
        text_tokens=torch.randint(7, (6, 5)).float(),
        has_text=torch.tensor([1.0, 1, 0, 1, 1, 1]),
    )
    outputs = mrd.loss(inputs)
    total(outputs).backward()
    assert all(p.grad is None and not p.requires_grad for p in mrd.teachers.parameters())
    cached = dict(points=inputs['points'], has_text=inputs['has_text'])
    cached['image_embeds'] = mrd.teachers['image'].encode_image(inputs['img'])
    cached['text_embeds'] = mrd.teachers['text'].encode_text(inputs['text_tokens'].long())
    torch.testing.assert_close(mrd.loss(cached), outputs)


def test_bad_batches():
    mrd, inputs = model(), batch()
    missing = {name: value for name, value in inputs.items() if name != 'text_embeds'}
    with pytest.raises(ValueError, match=r"'text_embeds'.*text_teacher"):
        mrd.loss(missing)
    inputs['text_embeds'] = torch.randn(10, WIDTH + 1)
    with pytest.raises(ValueError, match=r'\(10, 13\)'):
        mrd.loss(inputs)


def test_a_step_through_the_preprocessor():
    """Lists of samples with bool flags, as the pipeline gives them."""
    torch.manual_seed(0)
    mrd = model()
    optim = build_optim_wrapper(mrd, dict(optimizer=dict(type='AdamW', lr=1e-3)))
    inputs = batch(4)
    inputs['has_text'] = torch.tensor([True, False, True, True])
    data = dict(inputs={k: list(v) for k, v in inputs.items()}, data_samples=None)
    log = mrd.train_step(data, optim)
    assert torch.isfinite(log['loss']) and log['weight_intra_image'] == 1
    assert mrd.train_step(data, optim)['weight_intra_image'] != 1


@pytest.mark.parametrize('weights', ['UncertaintyWeights', 'FixedWeights'])
def test_learns_the_relations(weights):
    """All terms fall when the shapes can be told apart."""
    torch.manual_seed(0)
    mrd = model(dynamic_weights=dict(type=weights))
    inputs = batch(16)
    # as for a real model, who resembles whom is much the same for images and texts
    inputs['text_embeds'] = inputs['image_embeds'] + 0.3 * inputs['text_embeds']
    optim = torch.optim.Adam(mrd.parameters(), lr=1e-2)
    first = mrd.loss(inputs)
    for _ in range(40):
        outputs = mrd.loss(inputs)
        optim.zero_grad()
        total(outputs).backward()
        optim.step()
    for name in ('loss_align_image', 'loss_align_text', 'intra_image', 'cross_text'):
        assert outputs[name] < 0.8 * first[name], name
    shown = [float(v) for n, v in outputs.items() if n.startswith('weight_')]
    assert all(0.01 <= v <= 100 for v in shown)


def _on_rank(rank, world_size, mrd, inputs, cuts):
    mrd = copy.deepcopy(mrd)
    outputs = mrd.loss({k: v[cuts[rank] : cuts[rank + 1]] for k, v in inputs.items()})
    total(outputs).backward()
    grads = {name: p.grad for name, p in mrd.named_parameters()}
    return total(outputs).item(), grads


def test_two_processes_equal_one():
    mrd, inputs = model(), batch(10)
    mrd.point_encoder.norm.eval()  # batch statistics would be those of half the batch
    inputs['has_text'][[0, 1, 7]] = 0
    value, grads = _on_rank(0, 1, mrd, inputs, (0, 10))
    results = run_distributed(_on_rank, 2, (mrd, inputs, (0, 5, 10)))
    np.testing.assert_allclose(np.mean([r[0] for r in results]), value, rtol=1e-4)
    for name, grad in grads.items():
        mean = (results[0][1][name] + results[1][1][name]) / 2
        torch.testing.assert_close(mean, grad, rtol=2e-3, atol=2e-5)
