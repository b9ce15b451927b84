"""The forms of relations, and what all relation losses share."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from dist_utils import run_distributed
from torch.utils._python_dispatch import TorchDispatchMode

from mm3dpretrain.models.losses import (
    CrossRelationLoss,
    FusedIntraRelationLoss,
    IntraRelationLoss,
    JeffreyDivergence,
    KLDivergence,
    L2Divergence,
    NormalizedSimilarity,
    RawSimilarity,
    SmoothL1Divergence,
)
from mm3dpretrain.models.losses.relations import without_self

LOSSES = [IntraRelationLoss, FusedIntraRelationLoss, CrossRelationLoss]
RAW = dict(relation=dict(type='RawSimilarity'), divergence=dict(type='L2Divergence'))
CENTERED = dict(center=True)
ALL_CROSS = dict(terms=('text', 'image', 'from_text', 'from_image'))


def features(batch=9, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points, image, text = torch.randn(3, batch, width, generator=generator)
    return points, dict(image=image, text=text)


def total(values):
    return sum(values.values())


# ------------------------------------------------------------------ forms


@pytest.mark.parametrize('first, rows', [(0, 7), (2, 3), (6, 1), (0, 1)])
def test_without_self_equals_a_loop(first, rows):
    matrix = torch.randn(rows, 7)
    expected = [[matrix[i, j] for j in range(7) if j != first + i] for i in range(rows)]
    assert without_self(matrix, first).tolist() == [[v.item() for v in row] for row in expected]


def test_relations_are_distributions_without_self():
    x = F.normalize(torch.randn(8, 5), dim=1)
    form = NormalizedSimilarity(0.07)
    psi = form.values(form(without_self(x @ x.T)))
    assert psi.shape == (8, 7)
    torch.testing.assert_close(psi.sum(1), torch.ones(8))
    for i in range(8):  # by loops, from the formula
        others = [j for j in range(8) if j != i]
        weights = [math.exp(float(x[i] @ x[j]) / 0.07) for j in others]
        np.testing.assert_allclose(psi[i], np.array(weights) / sum(weights), rtol=1e-4)


def test_diagonal_hides_the_others():
    """Trap 1 of the method: with itself among the candidates, a row says nothing of the others."""
    x = F.normalize(torch.randn(256, 512), dim=1)
    form = NormalizedSimilarity(0.07)

    def entropy(rows):
        return float(-(rows.exp() * rows).sum(1).mean() / math.log(rows.shape[1]))

    assert entropy(form(x @ x.T)) < 0.02 < 0.7 < entropy(form(without_self(x @ x.T)))


@pytest.mark.parametrize('form', [NormalizedSimilarity(0.2), RawSimilarity()])
def test_mixture_equals_naive(form):
    x, y = form(torch.randn(3, 5)), form(torch.randn(3, 5))
    mixed = form.values(form.mix(torch.tensor(0.3), x, y))
    torch.testing.assert_close(mixed, 0.3 * form.values(x) + 0.7 * form.values(y))


# ------------------------------------------------------------------ divergences


def test_divergences_equal_scipy_and_loops():
    stats = pytest.importorskip('scipy.stats')
    form = NormalizedSimilarity(0.3)
    t, s = form(torch.randn(4, 6)), form(torch.randn(4, 6))
    p, q = t.exp().double().numpy(), s.exp().double().numpy()
    kl, reverse = stats.entropy(p, q, axis=1), stats.entropy(q, p, axis=1)
    np.testing.assert_allclose(KLDivergence()(t, s, form), kl, rtol=1e-4)
    np.testing.assert_allclose(JeffreyDivergence()(t, s, form), kl + reverse, rtol=1e-4)
    np.testing.assert_allclose(L2Divergence()(t, s, form), ((p - q) ** 2).sum(1), rtol=1e-4)
    raw = RawSimilarity()
    np.testing.assert_allclose(
        L2Divergence()(t, s, raw), (t - s).square().mean(1).numpy(), rtol=1e-5
    )
    d = (t - s).abs().double().numpy()
    expected = np.where(d < 0.1, d**2 / 0.2, d - 0.05).mean(1)
    np.testing.assert_allclose(SmoothL1Divergence(0.1)(t, s, raw), expected, rtol=1e-5)


@pytest.mark.parametrize(
    'divergence', [JeffreyDivergence(), KLDivergence(), L2Divergence(), SmoothL1Divergence()]
)
def test_divergence_properties(divergence):
    form = NormalizedSimilarity(0.05)
    t, s = form(torch.rand(20, 30)), form(torch.rand(20, 30))
    value = divergence(t, s, form)
    assert (value > 0).all() and (divergence(t, t, form) == 0).all()
    if not isinstance(divergence, KLDivergence):
        torch.testing.assert_close(value, divergence(s, t, form))


def test_divergence_of_one_hot_rows_is_finite():
    """Cosines 1 and -1 at a temperature of 0.01: probabilities underflow to exactly 0."""
    form = NormalizedSimilarity(0.01)
    similarity = torch.full((2, 5), -1.0)
    similarity[0, 0] = similarity[1, 3] = 1.0
    rows = form(similarity).requires_grad_()
    assert (rows.exp() == 0).any()
    for divergence in (JeffreyDivergence(), KLDivergence()):
        value = divergence(rows[:1], rows[1:], form)
        (grad,) = torch.autograd.grad(value.sum(), rows)
        assert torch.isfinite(value).all() and value > 100 and torch.isfinite(grad).all()


# ------------------------------------------------------------------ all losses


def naive(kind, points, teachers, temperature=0.07, center=False):
    """Docstring formulas with dense float64 matrices."""
    x = {'points': points, **teachers}
    x = {k: F.normalize(v.double(), dim=1) for k, v in x.items()}
    if center:
        x = {k: F.normalize(v - v.mean(0), dim=1) for k, v in x.items()}
    size = len(points)

    def psi(m):
        s = (x[m] @ x[m].T / temperature).exp()
        s = s * (1 - torch.eye(size))
        s = s / s.sum(1, keepdim=True)
        return s[~torch.eye(size, dtype=torch.bool)].view(size, size - 1)

    def phi(a, b):
        return (x[a] @ x[b].T / temperature).softmax(1)

    def j(p, q):
        return ((p - q) * (p.log() - q.log())).sum(1).mean()

    if kind is IntraRelationLoss:
        return {m: j(psi(m), psi('points')) for m in ('image', 'text')}
    if kind is FusedIntraRelationLoss:
        return dict(fused=j((psi('image') + psi('text')) / 2, psi('points')))
    return dict(
        text=j(phi('image', 'text'), phi('points', 'text')),
        image=j(phi('text', 'image'), phi('points', 'image')),
        from_text=j(phi('text', 'image'), phi('text', 'points')),
        from_image=j(phi('image', 'text'), phi('image', 'points')),
    )


@pytest.mark.parametrize('center', [False, True])
@pytest.mark.parametrize('kind', LOSSES)
def test_equals_naive(kind, center):
    points, teachers = features()
    loss = kind(center=center, **(ALL_CROSS if kind is CrossRelationLoss else {}))
    values = loss(points, teachers)
    expected = naive(kind, points, teachers, center=center)
    assert set(values) == set(expected) == set(loss.terms)
    for name, value in values.items():
        torch.testing.assert_close(value.detach(), expected[name].float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind', [IntraRelationLoss, CrossRelationLoss])
def test_centered_relations_do_not_see_what_all_share(kind):
    """A direction common to all samples of a modality flattens raw relations, not centred ones."""
    points, teachers = features(12)
    # orthogonal to everything: all of a modality move into a cone
    wide = {k: F.pad(F.normalize(v, dim=1), (0, 1)) for k, v in teachers.items()}
    cone = {k: v + F.pad(torch.zeros(1, 6), (0, 1), value=3.0) for k, v in wide.items()}
    student = F.pad(F.normalize(points, dim=1), (0, 1))
    plain, shifted = (kind(center=True)(student, x) for x in (wide, cone))
    for name in plain:
        torch.testing.assert_close(shifted[name], plain[name], rtol=1e-4, atol=1e-5)
    raw, raw_shifted = (kind()(student, x) for x in (wide, cone))
    assert all(abs(raw_shifted[name] - raw[name]) > 0.1 * raw[name] for name in raw)


@pytest.mark.parametrize('kind', LOSSES)
def test_samples_that_are_all_alike_have_no_direction(kind):
    """The mean takes everything out of them; rounding is not blown up to relations."""
    points = torch.randn(1, 6).repeat(7, 1).requires_grad_()
    teachers = {k: torch.randn(1, 6).repeat(7, 1) for k in ('image', 'text')}
    value = total(kind(center=True)(points, teachers))
    value.backward()
    assert value < 1e-3 and torch.isfinite(points.grad).all()


@pytest.mark.parametrize('options', [{}, RAW, CENTERED])
@pytest.mark.parametrize('kind', LOSSES)
def test_scale_rotation_and_permutation_change_nothing(kind, options):
    points, teachers = features()
    loss = kind(**options)
    value = total(loss(points, teachers))
    length = torch.rand(9, 1) * 5 + 0.1
    scaled = {k: v * length.flip(0) for k, v in teachers.items()}
    torch.testing.assert_close(total(loss(points * length, scaled)), value)
    turn = torch.linalg.qr(torch.randn(6, 6)).Q
    turned = {k: v @ turn for k, v in teachers.items()}
    torch.testing.assert_close(total(loss(points @ turn, turned)), value, rtol=1e-4, atol=1e-5)
    order = torch.randperm(9)
    mixed = {k: v[order] for k, v in teachers.items()}
    torch.testing.assert_close(total(loss(points[order], mixed)), value, rtol=1e-4, atol=1e-5)
    # a permutation of the shapes alone is another batch
    assert not torch.isclose(total(loss(points.roll(1, 0), teachers)), value, rtol=1e-3)


@pytest.mark.parametrize(
    'options', [{}, RAW, CENTERED, dict(divergence=dict(type='SmoothL1Divergence'))]
)
def test_zero_where_the_structure_is_copied(options):
    points, teachers = features()
    turn = torch.linalg.qr(torch.randn(6, 6)).Q
    copied = IntraRelationLoss(**options)(teachers['image'] @ turn, teachers)
    assert copied['image'] < 1e-6 < copied['text']
    cross = CrossRelationLoss(**ALL_CROSS, **options)
    as_image = cross(teachers['image'], teachers)
    assert as_image['text'] == 0 and as_image['from_text'] == 0 and as_image['image'] > 1e-5
    as_text = cross(3 * teachers['text'], teachers)
    assert as_text['image'] < 1e-6 and as_text['from_image'] < 1e-6 and as_text['text'] > 1e-5


@pytest.mark.parametrize('kind', LOSSES)
def test_only_the_student_and_the_share_get_gradients(kind):
    points, teachers = features()
    points.requires_grad_()
    for value in teachers.values():
        value.requires_grad_()
    loss = kind()
    total(loss(points, teachers)).backward()
    assert points.grad.abs().sum() > 0
    assert all(value.grad is None for value in teachers.values())
    for parameter in loss.parameters():
        assert parameter.grad.abs() > 0
    assert len(list(loss.parameters())) == (kind is FusedIntraRelationLoss)


@pytest.mark.parametrize('options', [{}, RAW, CENTERED])
@pytest.mark.parametrize('kind', LOSSES)
def test_finite_differences(kind, options):
    points, teachers = features(6, 4)
    # a soft temperature: float32 differences of a sharp softmax say nothing
    soft = dict(relation=dict(type='NormalizedSimilarity', temperature=0.5))
    options = options if options is RAW else soft | options
    loss = kind(**options, **(ALL_CROSS if kind is CrossRelationLoss else {}))
    points.requires_grad_()
    (grad,) = torch.autograd.grad(total(loss(points, teachers)), points)
    for i, j in [(0, 0), (3, 2), (5, 3)]:
        step = torch.zeros_like(points)
        step[i, j] = 1e-2
        with torch.no_grad():
            up, down = total(loss(points + step, teachers)), total(loss(points - step, teachers))
        torch.testing.assert_close(grad[i, j], (up - down) / 2e-2, rtol=3e-2, atol=3e-4)


@pytest.mark.parametrize('kind', LOSSES)
def test_chunks_change_nothing(kind):
    points, teachers = features(23)
    found = []
    for chunk in (100, 5):
        x = points.clone().requires_grad_()
        loss = kind(chunk_size=chunk)
        values = loss(x, teachers)
        total(values).backward()
        found.append((values, x.grad, [p.grad for p in loss.parameters()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that any operation makes, forward or backward."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor):
                self.size = max(self.size, x.numel())
        return result


@pytest.mark.parametrize('kind', LOSSES)
def test_memory_grows_linearly(kind):
    """No tensor of the size B x B, and twice the batch needs twice the memory."""
    sizes = []
    for batch in (256, 512):
        points, teachers = features(batch, 8)
        with Largest() as largest:
            total(kind(chunk_size=16)(points.requires_grad_(), teachers)).backward()
        sizes.append(largest.size)
    assert sizes[0] <= 16 * 256 and sizes[1] <= 16 * 512
    points, teachers = features(256, 8)
    with Largest() as largest:  # the twin: what is measured is seen
        total(kind(chunk_size=256)(points.requires_grad_(), teachers)).backward()
    assert largest.size >= 256 * 255


@pytest.mark.parametrize('kind', LOSSES)
def test_autocast_is_float32(kind):
    points, teachers = features()
    loss = kind(relation=dict(type='NormalizedSimilarity', temperature=0.01))
    plain = loss(points, teachers)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = loss(points, teachers)
    for name, value in plain.items():
        assert torch.isfinite(value) and torch.equal(value, mixed[name])
        assert mixed[name].dtype == torch.float32
    half = loss(points.bfloat16(), {k: v.bfloat16() for k, v in teachers.items()})
    assert all(v.dtype == torch.float32 and torch.isfinite(v) for v in half.values())


@pytest.mark.parametrize('kind', LOSSES)
def test_near_one_hot_rows_stay_finite(kind):
    points = torch.eye(4).repeat(2, 1).requires_grad_()
    teachers = dict(image=-torch.eye(4).repeat(2, 1), text=torch.eye(4).flip(0).repeat(2, 1))
    loss = kind(relation=dict(type='NormalizedSimilarity', temperature=0.01))
    value = total(loss(points, teachers))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(points.grad).all()


@pytest.mark.parametrize('kind', LOSSES)
def test_masking_equals_the_valid_subset(kind):
    points, teachers = features(12)
    text = torch.rand(12) < 0.6
    image = torch.ones(12, dtype=torch.bool)
    image[3] = False
    assert 2 < text.sum() < 12
    loss = kind()
    values = loss(points, teachers, dict(text=text, image=image))
    for name, value in values.items():
        keep = text & image
        if kind is IntraRelationLoss:
            keep = dict(text=text, image=image)[name]
        fewer = {k: v[keep] for k, v in teachers.items()}
        torch.testing.assert_close(value, loss(points[keep], fewer)[name])
    # what is masked may be anything, such as the zeros of a missing embedding
    teachers['text'] = torch.where(text[:, None], teachers['text'], torch.zeros(()))
    again = loss(points, teachers, dict(text=text, image=image))
    torch.testing.assert_close(again, values)


@pytest.mark.parametrize('kind', LOSSES)
def test_nothing_to_relate(kind):
    points, teachers = features(5)
    points.requires_grad_()
    for number, center in itertools.product((0, 1), (False, True)):
        text = torch.arange(5) < number
        values = kind(center=center, **RAW)(points, teachers, dict(text=text))
        value = values.get('fused', values.get('text'))
        # a single pair has a cross relation
        if number == 0 or center or kind is not CrossRelationLoss:
            assert value == 0
        (grad,) = torch.autograd.grad(value, points, retain_graph=True)
        assert torch.isfinite(grad).all()


@pytest.mark.parametrize('kind', LOSSES)
def test_bad_input(kind):
    points, teachers = features()
    with pytest.raises(ValueError, match=r'\(8, 6\)'):
        kind()(points[:8], teachers)
    with pytest.raises(ValueError, match="'text' must be bool"):
        kind()(points, teachers, dict(text=torch.ones(9)))
    with pytest.raises(ValueError, match='RawSimilarity has none'):
        kind(relation=dict(type='RawSimilarity'))
    with pytest.raises(ValueError, match='chunk_size'):
        kind(chunk_size=0)
    with pytest.raises(ValueError, match='temperature'):
        kind(relation=dict(type='NormalizedSimilarity', temperature=0))


def test_bad_terms():
    with pytest.raises(ValueError, match='speech'):
        CrossRelationLoss(terms=('text', 'speech'))
    with pytest.raises(ValueError, match='two teachers'):
        FusedIntraRelationLoss(teachers=('image',))
    with pytest.raises(ValueError, match='share'):
        FusedIntraRelationLoss(share=1.0)


def _on_rank(rank, world_size, kind, points, teachers, valid, weight, center, cuts):
    part = slice(cuts[rank], cuts[rank + 1])
    weight = weight.clone().requires_grad_()
    loss = kind(chunk_size=2, center=center)
    values = loss(
        points[part] @ weight,
        {k: v[part] for k, v in teachers.items()},
        {k: v[part] for k, v in valid.items()},
    )
    total(values).backward()
    grads = [weight.grad, *(p.grad for p in loss.parameters())]
    return {k: v.item() for k, v in values.items()}, grads


@pytest.mark.parametrize('cuts', [(0, 5, 10), (0, 3, 10)], ids=['halves', 'uneven'])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('center', [False, True])
@pytest.mark.parametrize('kind', LOSSES)
def test_two_processes_equal_one(kind, center, masked, cuts):
    points, teachers = features(10, 6)
    weight = torch.randn(6, 6)
    valid = {}
    if masked:  # the first process has no text at all
        valid = dict(text=torch.arange(10) >= cuts[1])
    args = (kind, points, teachers, valid, weight, center)
    ((one, grads),) = (_on_rank(0, 1, *args, (0, 10)),)
    results = run_distributed(_on_rank, 2, (*args, cuts))
    for name, value in one.items():
        mean = np.mean([values[name] for values, _ in results])
        np.testing.assert_allclose(mean, value, rtol=1e-4, atol=1e-6)
    for index, grad in enumerate(grads):
        mean = (results[0][1][index] + results[1][1][index]) / 2
        torch.testing.assert_close(mean, grad, rtol=1e-3, atol=1e-5)
