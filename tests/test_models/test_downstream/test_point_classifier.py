import numpy as np
import pytest
import torch
from golden_weights import assert_close, converter, golden_state_dict, load, part
from toy_parts import ToyShapes, save_toy_checkpoint

from mm3dpretrain.models.downstream import ClassificationHead
from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample


def build(head=None, init_cfg=None, **kwargs):
    head = dict(type='ClassificationHead', in_channels=16, num_classes=3, **(head or {}))
    backbone = dict(type='ToyEncoder', init_cfg=init_cfg)
    return MODELS.build(dict(type='PointClassifier', backbone=backbone, head=head, **kwargs))


@pytest.fixture
def batch():
    np.random.seed(0)
    data = [ToyShapes(6)[i] for i in range(6)]
    return dict(
        inputs=dict(points=[d['inputs']['points'] for d in data]),
        data_samples=[d['data_samples'] for d in data],
    )


def test_three_modes(batch):
    model = build().eval()
    data = model.data_preprocessor(batch)
    logits = model(**data)
    assert logits.shape == (6, 3)
    losses = model(**data, mode='loss')
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(losses['loss'], torch.nn.functional.cross_entropy(logits, labels))
    samples = model(**data, mode='predict')
    predicted = torch.cat([s.pred_label for s in samples])
    torch.testing.assert_close(predicted, logits.argmax(1))
    torch.testing.assert_close(torch.stack([s.pred_score for s in samples]), logits.softmax(1))
    hits = 100 * (predicted == labels).float().mean()
    torch.testing.assert_close(losses['top1'], hits)
    torch.testing.assert_close(model.loss(**data)['loss'], losses['loss'])
    assert len(model.predict(data['inputs'])) == 6
    with pytest.raises(ValueError, match='guess'):
        model(**data, mode='guess')


def test_frozen_backbone_does_not_move(batch):
    model = build(freeze_backbone=True)
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    model.train()
    assert model.head.training and not model.backbone.norm.training
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    head = [p.detach().clone() for p in model.head.parameters()]
    model(**model.data_preprocessor(batch), mode='loss')['loss'].backward()
    optimizer.step()
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(p.grad is None for p in model.backbone.parameters())
    assert not all(torch.equal(a, b) for a, b in zip(head, model.head.parameters()))


def test_fine_tuning_reaches_the_backbone(batch):
    model = build().train()
    model(**model.data_preprocessor(batch), mode='loss')['loss'].backward()
    assert all(p.grad is not None for p in model.backbone.parameters())
    assert model.backbone.norm.training


def test_raw_pretraining_checkpoint_fills_the_backbone(tmp_path):
    path = tmp_path / 'pretrain.pth'
    saved = save_toy_checkpoint(path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='point_encoder.')
    model = build(init_cfg=init_cfg, freeze_backbone=True)
    model.init_weights()
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, saved[f'point_encoder.{key}']), key


def test_head_layers():
    linear = ClassificationHead(16, 3, hidden_channels=())
    assert [type(m).__name__ for m in linear.layers] == ['Linear']
    standardised = ClassificationHead(16, 3, hidden_channels=(), input_norm=True)
    features = 5 + 0.1 * torch.randn(64, 16)
    seen = standardised.layers[0](features)
    assert seen.mean().abs() < 1e-5 and (seen.std(dim=0) - 1).abs().max() < 0.02
    assert len(list(standardised.parameters())) == 2
    default = ClassificationHead(768, 40)
    names = ['Linear', 'BatchNorm1d', 'ReLU', 'Dropout', 'Linear']
    assert [type(m).__name__ for m in default.layers] == names
    assert default.layers[0].weight.shape == (256, 768)
    assert default.layers[-1].weight.shape == (40, 256) and default.layers[3].p == 0.5


def test_label_smoothing_by_hand():
    logits, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    head = ClassificationHead(8, 4, label_smooth=0.2)
    target = torch.full((5, 4), 0.05).scatter_(1, labels[:, None], 0.85)
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(head.loss(logits, labels), expected)


@pytest.mark.parametrize('bad', [dict(num_classes=1), dict(dropout=1.0), dict(label_smooth=-0.1)])
def test_bad_head(bad):
    with pytest.raises(ValueError, match='classes|dropout'):
        ClassificationHead(**{'in_channels': 4, 'num_classes': 3, **bad})


def test_bad_labels_are_named(batch):
    model = build().eval()
    data = model.data_preprocessor(batch)
    data['data_samples'][2].gt_label = torch.tensor([7])
    with pytest.raises(ValueError, match='label 7 does not fit num_classes=3'):
        model(**data, mode='loss')
    data['data_samples'][1] = PretrainDataSample(metainfo=dict(sample_id='mug_3'))
    with pytest.raises(ValueError, match='mug_3'):
        model(**data, mode='loss')
    with pytest.raises(ValueError, match='gt_label'):
        model(data['inputs'], mode='loss')


def test_logits_equal_point_bert(golden, golden_json):
    expected = golden('point_bert/cls_small.npz')
    reference = golden_json('point_bert/cls_small_config.json')
    state = golden_state_dict(reference)
    sizes = reference['config']
    model = MODELS.build(
        dict(
            type='PointClassifier',
            backbone=dict(
                type='PointTransformer',
                num_groups=sizes['num_group'],
                group_size=sizes['group_size'],
                encoder_dim=sizes['encoder_dims'],
                embed_dim=sizes['trans_dim'],
                depth=sizes['depth'],
                num_heads=sizes['num_heads'],
            ),
            head=dict(
                type='ClassificationHead',
                in_channels=2 * sizes['trans_dim'],
                num_classes=sizes['cls_dim'],
                norm=False,
            ),
        )
    )
    converted = converter('pointbert_to_mm3d').convert(state)[1].state_dict
    load(model.backbone, part(converted, 'point_encoder.'))
    load(model.head.layers, part(state, 'cls_head_finetune.'))
    model.eval()
    assert_close(model(dict(points=torch.from_numpy(expected['points']))), expected['logits'])


def test_votes_are_the_mean_logits_and_leave_the_plain_result(batch):
    model = build().eval()
    plain = [s.pred_score.clone() for s in model(**model.data_preprocessor(batch), mode='predict')]
    points = torch.stack(batch['inputs']['points'])
    copies = torch.stack([points, 1.3 * points, 0.5 * points], dim=1)
    batch['inputs']['vote_points'] = list(copies)
    samples = model(**model.data_preprocessor(batch), mode='predict')
    logits = sum(model(dict(points=copies[:, v])) for v in range(3)) / 3
    torch.testing.assert_close(torch.stack([s.vote_score for s in samples]), logits.softmax(1))
    assert [s.vote_label.item() for s in samples] == logits.argmax(1).tolist()
    assert all(torch.equal(s.pred_score, p) and s.num_votes == 3 for s, p in zip(samples, plain))
