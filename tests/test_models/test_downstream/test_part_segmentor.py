"""Part segmentation: shapes, freezing, equality with the plain formulation, and that it learns."""

import numpy as np
import pytest
import torch
from torch import nn

from mm3dpretrain.datasets.synthetic.shapes import CATEGORIES, SyntheticShapes
from mm3dpretrain.datasets.transforms import VoteCopies
from mm3dpretrain.evaluation import parts_of_scores, shape_iou
from mm3dpretrain.models.downstream import PartSegHead
from mm3dpretrain.models.utils.feature_propagation import interpolate_features
from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

ENCODER = dict(
    type='PointTransformer', num_groups=16, group_size=8, encoder_dim=32, embed_dim=32, depth=3,
    num_heads=2, hidden_dims=(16, 32, 32), out_indices=(0, 1, 2),
)  # fmt: skip
HEAD = dict(
    type='PartSegHead', in_channels=96, num_parts=9, num_categories=3, prop_channels=(48, 32),
    label_channels=8, hidden_channels=(32, 16), dropout=0.0,
)  # fmt: skip
LINEAR = dict(prop_channels=(), label_channels=0, hidden_channels=(), with_xyz=False,
              input_norm=True)  # fmt: skip


def build(head=None, encoder=None, **kwargs):
    cfg = dict(
        type='PartSegmentor',
        backbone=dict(ENCODER, **(encoder or {})),
        head=dict(HEAD, **(head or {})),
    )
    model = MODELS.build(dict(cfg, **kwargs))
    model.init_weights()
    return model


def batch(count=4, num=64, votes=0):
    rng = np.random.default_rng(0)
    clouds = [torch.from_numpy(rng.uniform(-1, 1, (num, 3)).astype(np.float32))
              for _ in range(count)]  # fmt: skip
    samples = []
    for index in range(count):
        sample = PretrainDataSample(metainfo=dict(sample_id=f's{index}'))
        sample.gt_label = torch.tensor([index % 3])
        sample.gt_part = torch.from_numpy(rng.integers(0, 9, num))
        samples.append(sample)
    inputs = dict(points=clouds)
    if votes:
        inputs['vote_points'] = [
            torch.stack([cloud * (1 + 0.1 * v) for v in range(votes)]) for cloud in clouds
        ]
    return dict(inputs=inputs, data_samples=samples)


def test_three_modes_and_loss():
    model = build().eval()
    data = model.data_preprocessor(batch())
    logits = model(**data)
    assert logits.shape == (4, 64, 9)
    losses = model(**data, mode='loss')
    parts = torch.stack([s.gt_part for s in data['data_samples']])
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), parts.flatten())
    torch.testing.assert_close(losses['loss'], expected)
    torch.testing.assert_close(
        losses['point_acc'], 100 * (logits.argmax(-1) == parts).float().mean()
    )
    samples = model(**data, mode='predict')
    torch.testing.assert_close(torch.stack([s.pred_part_score for s in samples]), logits)
    assert 'vote_part_score' not in samples[0]


@pytest.mark.parametrize('options', [{}, LINEAR])
def test_head_equals_one_layer_over_the_concatenation(options):
    """from_point + from_shape is a linear layer over [point, max, mean, category]."""
    head = PartSegHead(**{k: v for k, v in {**HEAD, **options}.items() if k != 'type'}).eval()
    points, center = torch.randn(2, 20, 3), torch.randn(2, 5, 3)
    patches, category = torch.randn(2, 5, 96), torch.tensor([2, 0])
    label = head.label_embed(torch.eye(3)[category])
    carried = head.patch_norm(patches.flatten(0, 1)).view(2, 5, 96)
    local = interpolate_features(points, center, carried)
    if head.with_xyz:
        local = torch.cat([local, points], dim=-1)
    local = head.propagation.layers(local.flatten(0, 1)).view(2, 20, -1)
    shape = head.shape_norm(torch.cat([patches.max(1).values, patches.mean(1)], dim=1))
    whole = torch.cat([local, torch.cat([shape, label], 1)[:, None].expand(-1, 20, -1)], dim=-1)
    weight = torch.cat([head.from_point.weight, head.from_shape.weight], dim=1)
    hidden = whole @ weight.T + head.from_point.bias
    expected = head.layers(hidden.flatten(0, 1)).view(2, 20, 9)
    torch.testing.assert_close(head(points, center, patches, category), expected)
    if options:  # nothing but that one layer learns
        assert {n.split('.')[0] for n, _ in head.named_parameters()} == {'from_point', 'from_shape'}


def test_default_widths_are_those_of_the_recipe():
    head = PartSegHead(1152, 50, 16)
    assert [m.out_features for m in head.propagation.layers if isinstance(m, nn.Linear)] == [
        1536, 1024,
    ]  # fmt: skip
    assert head.from_point.in_features + head.from_shape.in_features == 3392
    assert head.from_point.out_features == 512
    assert [m.out_features for m in head.layers if isinstance(m, nn.Linear)] == [256, 50]


def test_the_category_matters_and_order_of_points_does_not():
    model = build().eval()
    data = model.data_preprocessor(batch())
    logits = model(**data)
    data['data_samples'][0].gt_label = torch.tensor([1])
    changed = model(**data)
    assert not torch.allclose(logits[0], changed[0]) and torch.equal(logits[1], changed[1])
    # the first point starts the patches and stays
    order = torch.cat([torch.tensor([0]), 1 + torch.randperm(63)])
    data['inputs'] = dict(points=data['inputs']['points'][:, order])
    torch.testing.assert_close(model(**data), changed[:, order], atol=1e-5, rtol=1e-5)


def test_frozen_encoder():
    model = build(freeze_backbone=True, head=LINEAR).train()
    model(**model.data_preprocessor(batch()), mode='loss')['loss'].backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.head.parameters())
    assert not any(m.training for m in model.backbone.modules())


def test_all_taps_get_gradients():
    model = build().train()
    model(**model.data_preprocessor(batch()), mode='loss')['loss'].backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_an_encoder_without_taps():
    model = build(encoder=dict(out_indices=()), head=dict(in_channels=32)).eval()
    assert model(**model.data_preprocessor(batch())).shape == (4, 64, 9)


def test_votes_are_the_mean_logits_and_leave_the_plain_result():
    model = build().eval()
    plain = model(**model.data_preprocessor(batch()), mode='predict')
    data = model.data_preprocessor(batch(votes=3))
    voted = model(**data, mode='predict')
    copies = [
        model(dict(points=data['inputs']['vote_points'][:, v]), data['data_samples'])
        for v in range(3)
    ]
    for index, sample in enumerate(voted):
        assert torch.equal(sample.pred_part_score, plain[index].pred_part_score)
        mean = (copies[0] + copies[1] + copies[2])[index] / 3
        torch.testing.assert_close(sample.vote_part_score, mean)
        assert sample.num_votes == 3


def test_vote_copies():
    results = dict(points=np.random.rand(50, 3).astype(np.float32), point_channels=('x', 'y', 'z'))
    made = VoteCopies(4, [dict(type='SamplePoints', num_points=20)])(results)
    assert made['vote_points'].shape == (4, 20, 3) and made['points'].shape == (50, 3)
    assert not np.array_equal(made['vote_points'][0], made['vote_points'][1])
    with pytest.raises(ValueError, match='num_votes'):
        VoteCopies(0, [])


def test_bad_input_is_named():
    model = build()
    data = model.data_preprocessor(batch())
    data['data_samples'][1].gt_part[3] = 9
    with pytest.raises(ValueError, match='parts from 0 to 9 do not fit num_parts=9'):
        model(**data, mode='loss')
    del data['data_samples'][1].gt_part
    with pytest.raises(ValueError, match=r"gt_part in all samples; without: \['s1'\]"):
        model(**data, mode='loss')
    data['data_samples'][0].gt_label = torch.tensor([3])
    with pytest.raises(ValueError, match='num_categories=3'):
        model(**data)
    del data['data_samples'][0].gt_label
    with pytest.raises(ValueError, match='needs gt_label'):
        model(**data)
    for bad in (dict(num_parts=1), dict(num_categories=0), dict(dropout=1.0)):
        with pytest.raises(ValueError, match='got'):
            build(head=bad)


def test_learns_parts_better_than_the_majority():
    """Chairs, tables and mugs: loss falls, and IoU on other shapes beats the most frequent part."""
    generator = SyntheticShapes(seed=0, rotation='none')
    names = ('chair', 'table', 'mug')
    offset, ids, first = {}, {}, 0
    for label, name in enumerate(names):
        count = len(next(c for c in CATEGORIES if c.name == name).parts)
        offset[name] = first - generator.part_offset(name)
        ids[label] = list(range(first, first + count))
        first += count

    def shapes(numbers):
        points, parts, labels = [], [], []
        for number in numbers:
            for label, name in enumerate(names):
                shape = generator.generate(name, number)
                cloud = generator.sample(shape, number, 128)
                points.append(torch.from_numpy(cloud.points))
                parts.append(torch.from_numpy(cloud.part.astype(np.int64) + offset[name]))
                labels.append(label)
        samples = [PretrainDataSample(gt_part=p, gt_label=torch.tensor([y]))
                   for p, y in zip(parts, labels)]  # fmt: skip
        return torch.stack(points), samples

    points, samples = shapes(range(8))
    model = build(head=dict(num_parts=first), encoder=dict(group_size=16, drop_path_rate=0.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, 100)
    model.train()
    losses = []
    for _ in range(100):
        result = model(dict(points=points), samples, mode='loss')
        optimizer.zero_grad()
        result['loss'].backward()
        optimizer.step()
        scheduler.step()
        losses.append(result['loss'].item())
    assert np.mean(losses[-5:]) < 0.4 * losses[0]

    votes = {label: np.zeros(first) for label in ids}
    for sample in samples:
        votes[int(sample.gt_label)] += np.bincount(sample.gt_part, minlength=first)
    held_out, truth = shapes(range(100, 104))
    found = model.eval()(dict(points=held_out), truth, mode='predict')
    ious, majority = [], []
    for sample in found:
        own = ids[int(sample.gt_label)]
        parts = sample.gt_part.numpy()
        ious.append(shape_iou(parts_of_scores(sample.pred_part_score, own).numpy(), parts, own))
        best = np.full_like(parts, votes[int(sample.gt_label)].argmax())
        majority.append(shape_iou(best, parts, own))
    assert np.mean(ious) > np.mean(majority) + 0.1, (np.mean(ious), np.mean(majority))
