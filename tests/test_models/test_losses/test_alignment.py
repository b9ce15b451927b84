from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from dist_utils import run_distributed

from mm3dpretrain.models.losses import InfoNCELoss, MultiModalAlignmentLoss


def features(batch=8, width=6):
    points, image, text = torch.randn(3, batch, width)
    return points, dict(image=image, text=text)


def case(golden, name, case):
    entries = golden(f'losses/{name}.npz').items()
    return {k.split('/')[1]: torch.from_numpy(v) for k, v in entries if k.startswith(case + '/')}


def value(out):
    return out['loss_image'] + out['loss_text']


@pytest.mark.parametrize('number', ['case0', 'case1'])
def test_parity_with_ulip(golden, number):
    ref = case(golden, 'ulip_clip_loss', number)
    names = ('pc_embed', 'text_embed', 'image_embed')
    points, text, image = (ref[n].requires_grad_() for n in names)
    loss = MultiModalAlignmentLoss()
    with torch.no_grad():
        loss.log_scale.copy_(ref['log_logit_scale'])
    out = loss(points, dict(image=image, text=text))
    value(out).backward()
    np.testing.assert_allclose(value(out).item(), ref['loss'], rtol=1e-5)
    for tensor, key in ((points, 'pc'), (text, 'text'), (image, 'image')):
        np.testing.assert_allclose(tensor.grad, ref[f'grad_{key}'], atol=1e-5)
    np.testing.assert_allclose(loss.log_scale.grad, ref['grad_log_logit_scale'], atol=1e-5)
    np.testing.assert_allclose(100 * out['top1_text'], ref['acc_pc_text'], rtol=1e-5)
    np.testing.assert_allclose(100 * out['top1_image'], ref['acc_pc_image'], rtol=1e-5)


@pytest.mark.parametrize('number', ['case0', 'case1'])
def test_uni3d_differs_in_missing_images_only(golden, number):
    """Uni3D keeps the samples without image among the negatives, this loss leaves them out."""
    ref = case(golden, 'uni3d_text_image_loss', number)
    loss = MultiModalAlignmentLoss()
    with torch.no_grad():
        loss.log_scale.copy_(ref['log_logit_scale'])
    points, image = (F.normalize(ref[n], dim=1) for n in ('pc_embed', 'image_embed'))
    target = torch.arange(len(points)).masked_fill(~ref['image_mask'].bool(), -100)
    logits = loss.scale * points @ image.T
    theirs = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    teachers = dict(image=ref['image_embed'], text=ref['text_embed'])
    ours = loss(ref['pc_embed'], teachers, dict(image=ref['image_mask'].bool()))
    np.testing.assert_allclose((ours['loss_text'] + theirs).item(), ref['loss'], rtol=1e-5)
    if not ref['image_mask'].bool().all():
        assert ours['loss_image'] < theirs


@pytest.mark.parametrize('number', ['case0', 'case1'])
def test_parity_with_openshape(golden, number):
    ref = case(golden, 'openshape_contras_loss', number)
    one, two = ref['feat1'].requires_grad_(), ref['feat2'].requires_grad_()
    loss = MultiModalAlignmentLoss(dict(text=1.0))
    with torch.no_grad():
        loss.log_scale.copy_(ref['log_logit_scale'])
    out = loss(one, dict(text=two))
    out['loss_text'].backward()
    np.testing.assert_allclose(out['loss_text'].item(), ref['loss'], rtol=1e-5)
    np.testing.assert_allclose(one.grad, ref['grad1'], atol=1e-5)
    np.testing.assert_allclose(two.grad, ref['grad2'], atol=1e-5)
    np.testing.assert_allclose(loss.log_scale.grad, ref['grad_log_logit_scale'], atol=1e-5)


def test_weights_and_the_two_modalities():
    points, teachers = features()
    out = MultiModalAlignmentLoss(dict(image=0.5, text=2.0), temperature=0.1)(points, teachers)
    pair = InfoNCELoss(0.1)
    torch.testing.assert_close(out['loss_image'], 0.5 * pair(points, teachers['image']))
    torch.testing.assert_close(out['loss_text'], 2 * pair(points, teachers['text']))
    assert out['logit_scale'] == pytest.approx(10)
    alone = MultiModalAlignmentLoss(dict(image=1.0, text=0.0))(points, dict(image=points))
    assert set(alone) == {'loss_image', 'top1_image', 'logit_scale'} and alone['top1_image'] == 1
    with pytest.raises(ValueError, match='nothing is left'):
        MultiModalAlignmentLoss(dict(image=0.0))


@pytest.mark.parametrize('chunk', [1024, 3])
def test_masking_equals_the_valid_subset(chunk):
    points, teachers = features(9)
    has_text = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 0], dtype=torch.bool)
    loss = MultiModalAlignmentLoss(chunk_size=chunk)
    out = loss(points, teachers, dict(text=has_text))
    fewer = loss(points[has_text], {k: v[has_text] for k, v in teachers.items()})
    torch.testing.assert_close(out['loss_text'], fewer['loss_text'])
    torch.testing.assert_close(out['loss_image'], loss(points, teachers)['loss_image'])
    none = loss(points.requires_grad_(), teachers, dict(text=torch.zeros(9, dtype=torch.bool)))
    assert none['loss_text'] == 0
    value(none).backward()
    assert torch.isfinite(points.grad).all()


def test_who_gets_gradients():
    points, teachers = features()
    loss = MultiModalAlignmentLoss(chunk_size=3)
    value(loss(points.requires_grad_(), teachers)).backward()
    assert points.grad.abs().sum() > 0 and loss.log_scale.grad.abs() > 0
    fixed = MultiModalAlignmentLoss(learnable=False)
    assert not list(fixed.parameters()) and 'log_scale' in fixed.state_dict()


def test_scale_stays_below_its_limit_and_comes_back():
    # shapes that are far from their partners want a scale of 0, equal ones a large one
    x = torch.eye(4)
    loss = MultiModalAlignmentLoss(dict(image=1.0), max_scale=20.0)
    optimizer = torch.optim.SGD(loss.parameters(), lr=5.0)
    scales = []
    for step in range(60):
        target = x if step < 30 else x.roll(1, 0)
        out = loss(x, dict(image=target))
        scales.append(float(out['logit_scale']))
        optimizer.zero_grad()
        out['loss_image'].backward()
        optimizer.step()
    assert max(scales) <= 20.001 and scales[-1] < scales[29]
    with pytest.raises(ValueError, match='max_scale'):
        MultiModalAlignmentLoss(temperature=0.001)


def test_autocast_is_float32():
    points, teachers = features()
    loss = MultiModalAlignmentLoss()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = loss(points, teachers)
    assert torch.equal(value(out), value(loss(points, teachers)))


def test_finite_differences_of_the_scale():
    points, teachers = features()
    loss = MultiModalAlignmentLoss(chunk_size=3)
    (grad,) = torch.autograd.grad(value(loss(points, teachers)), loss.log_scale)
    values = []
    for step in (1e-2, -1e-2):
        with torch.no_grad():
            loss.log_scale.fill_(-math.log(0.07) + step)
            values.append(value(loss(points, teachers)))
    torch.testing.assert_close(grad, (values[0] - values[1]) / 2e-2, rtol=1e-2, atol=1e-4)


def _on_rank(rank, world_size, points, teachers, has_text, weight):
    size = len(points) // world_size
    part = slice(rank * size, (rank + 1) * size)
    weight = weight.clone().requires_grad_()
    loss = MultiModalAlignmentLoss(chunk_size=2)
    parts = {k: v[part] for k, v in teachers.items()}
    out = loss(points[part] @ weight, parts, dict(text=has_text[part]))
    value(out).backward()
    return value(out).item(), weight.grad, loss.log_scale.grad


def test_two_processes_equal_one():
    points, teachers = features(8)
    has_text = torch.tensor([1, 0, 0, 0, 1, 1, 1, 0], dtype=torch.bool)
    args = (points, teachers, has_text, torch.randn(6, 6))
    one = _on_rank(0, 1, *args)
    results = run_distributed(_on_rank, 2, args)
    np.testing.assert_allclose(np.mean([r[0] for r in results]), one[0], rtol=1e-5)
    for index in (1, 2):
        mean = (results[0][index] + results[1][index]) / 2
        torch.testing.assert_close(mean, one[index], rtol=1e-4, atol=1e-5)
