"""Completion: shapes, frames, gradients, and that it learns."""

import numpy as np
import pytest
import torch

from mm3dpretrain import ops
from mm3dpretrain.datasets.synthetic.shapes import SyntheticShapes
from mm3dpretrain.datasets.transforms import RemoveNearest
from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

ENCODER = dict(
    type='PointTransformer', num_groups=8, group_size=8, encoder_dim=32, embed_dim=32, depth=2,
    num_heads=2, hidden_dims=(16, 32, 32), drop_path_rate=0.0,
)  # fmt: skip
UPSAMPLERS = dict(
    transformer=dict(
        type='TransformerUpsampler',
        decoder=dict(type='PointDecoder', embed_dim=32, depth=1, num_heads=2, group_size=8,
                     with_mask_token=True, drop_path_rate=0.0),
    ),
    folding=dict(
        type='FoldingUpsampler',
        decoder=dict(type='FoldingDecoder', in_channels=67, num_points=8, hidden_dims=(32, 32)),
    ),
)  # fmt: skip


def build(upsampler='transformer', head=None, **kwargs):
    cfg = dict(
        type='PointCompletion',
        backbone=ENCODER,
        head=dict(
            type='CompletionHead', in_channels=64, num_coarse=12, hidden_channels=(64,),
            upsampler=UPSAMPLERS.get(upsampler), **(head or {}),
        ),
    )  # fmt: skip
    model = MODELS.build(dict(cfg, **kwargs))
    model.init_weights()
    return model


def batch(count=3, num=64):
    points = [torch.rand(num, 3) for _ in range(count)]
    samples = [PretrainDataSample(gt_points=torch.rand(100, 3)) for _ in range(count)]
    return dict(inputs=dict(points=points), data_samples=samples)


@pytest.mark.parametrize('upsampler', ['transformer', 'folding'])
def test_three_modes(upsampler):
    model = build(upsampler).train()
    data = model.data_preprocessor(batch())
    coarse, fine = model(**data)
    assert coarse.shape == (3, 12, 3) and fine.shape == (3, 96, 3)
    losses = model(**data, mode='loss')
    assert set(losses) == {'loss_fine', 'loss_coarse'}
    sum(losses.values()).backward()
    # patch features are read by the transformer alone: folding reaches them by the global feature
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    model.eval()
    target = torch.stack([s.gt_points for s in data['data_samples']])
    _, fine = model(**data)
    expected = ops.chamfer_distance(fine, target, sqrt=True) / 2
    torch.testing.assert_close(model(**data, mode='loss')['loss_fine'], expected)
    predicted = torch.stack([s.pred_points for s in model(**data, mode='predict')])
    torch.testing.assert_close(predicted, fine)


def test_linear_head():
    head = dict(
        type='CompletionHead', in_channels=64, num_coarse=50, hidden_channels=(), input_norm=True
    )
    cfg = dict(type='PointCompletion', backbone=ENCODER, head=head, freeze_backbone=True)
    model = MODELS.build(cfg)
    data = model.train().data_preprocessor(batch())
    coarse, fine = model(**data)
    assert coarse is None and fine.shape == (3, 50, 3)
    losses = model(**data, mode='loss')
    assert set(losses) == {'loss_fine'}
    losses['loss_fine'].backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    names = [n for n, p in model.head.named_parameters()]
    assert names == ['to_coarse.1.weight', 'to_coarse.1.bias']


def test_coarse_points_are_where_the_patches_lie():
    model = build().eval()
    data = model.data_preprocessor(batch())
    with torch.no_grad():
        model.head.upsampler.decoder.to_points.weight.zero_()
        model.head.upsampler.decoder.to_points.bias.zero_()
    coarse, fine = model(**data)
    torch.testing.assert_close(fine, coarse.repeat_interleave(8, dim=1))


def test_input_scale_is_undone():
    plain, scaled = build().eval(), build(input_scale=2.0).eval()
    scaled.load_state_dict(plain.state_dict())
    data = plain.data_preprocessor(batch())
    _, expected = plain(**data)
    _, found = scaled(dict(points=data['inputs']['points'] / 2))
    torch.testing.assert_close(found, expected / 2)
    with pytest.raises(ValueError, match='input_scale'):
        build(input_scale=0)


def test_input_is_part_of_the_result():
    plain, merged = build(input_scale=2.0).eval(), build(input_scale=2.0, merge_input=True).eval()
    merged.load_state_dict(plain.state_dict())
    data = plain.data_preprocessor(batch())
    points = data['inputs']['points']
    for alone, both in zip(plain(**data), merged(**data)):
        torch.testing.assert_close(both, torch.cat([alone, points], dim=1))
    assert merged(**data, mode='predict')[0].pred_points.shape == (96 + 64, 3)


def test_bad_input():
    model = build()
    data = model.data_preprocessor(batch())
    del data['data_samples'][1].gt_points
    with pytest.raises(ValueError, match='completion needs gt_points'):
        model(**data, mode='loss')
    data['inputs']['vote_points'] = data['inputs']['points'][:, None]
    with pytest.raises(ValueError, match='cannot vote'):
        model.eval()(**data, mode='predict')
    with pytest.raises(ValueError, match='num_coarse'):
        MODELS.build(dict(type='CompletionHead', in_channels=4, num_coarse=0))


def test_learns_to_fill_in():
    """The loss falls, and on other shapes the result covers the whole better than what was seen."""
    generator = SyntheticShapes(seed=0, rotation='none')
    remove = RemoveNearest(0.75, 'random')

    def shapes(numbers):
        partial, whole = [], []
        for number in numbers:
            for name in ('mug', 'table'):
                np.random.seed(number)
                cloud = generator.sample(generator.generate(name, number), number, 256).points
                made = remove(dict(points=cloud, point_channels=('x', 'y', 'z')))
                partial.append(torch.from_numpy(made['points']))
                whole.append(torch.from_numpy(made['gt_points']))
        return torch.stack(partial), whole

    points, whole = shapes(range(8))
    samples = [PretrainDataSample(gt_points=cloud) for cloud in whole]
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(80):
        loss = sum(model(dict(points=points), samples, mode='loss').values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.65 * losses[0]
    seen, truth = shapes(range(100, 104))
    with torch.no_grad():
        _, fine = model.eval()(dict(points=seen))
    # from the whole to the prediction: how well the removed part is covered
    missed = [
        ops.chamfer_distance(cloud[None], other[None], sqrt=True, single_directional=True).item()
        for clouds in (fine, seen)
        for cloud, other in zip(truth, clouds)
    ]
    assert np.mean(missed[:8]) < np.mean(missed[8:]), (np.mean(missed[:8]), np.mean(missed[8:]))
