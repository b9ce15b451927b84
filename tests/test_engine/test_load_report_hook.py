import re
from types import SimpleNamespace

import pytest
import torch
from toy_parts import save_toy_checkpoint, toy_model_cfg

from mm3dpretrain.engine.hooks import LoadReportHook
from mm3dpretrain.registry import HOOKS, MODELS


class Log(list):
    def info(self, text):
        self.append(text)

    warning = info


def report(model, load_from=None, resume=False, iteration=0, **kwargs) -> list[str]:
    runner = SimpleNamespace(
        model=model, _load_from=load_from, _resume=resume, iter=iteration, logger=Log()
    )
    HOOKS.build(dict(type='LoadReportHook', **kwargs)).before_train(runner)
    return runner.logger


def classifier(path, prefix='point_encoder.', width=16):
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix=prefix)
    model = MODELS.build(
        dict(
            type='PointClassifier',
            backbone=dict(type='ToyEncoder', width=width, init_cfg=init_cfg),
            head=dict(type='ClassificationHead', in_channels=width, num_classes=3),
        )
    )
    model.init_weights()
    return model


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'pretrain.pth'
    save_toy_checkpoint(path)
    return path


def test_all_weights_are_counted(checkpoint):
    (line,) = report(classifier(checkpoint))
    assert line.startswith('backbone: 9 of 9 weights are those of ')
    assert "below 'point_encoder.'" in line and '9 matched, 0 missing, 0 unexpected' in line


def test_unchanged_weights_are_found_out(checkpoint):
    model = classifier(checkpoint)
    for value in model.backbone.state_dict().values():
        value.add_(1)
    with pytest.raises(RuntimeError, match='0 of 9 weights'):
        report(model)


def test_another_width(checkpoint):
    with pytest.raises(RuntimeError, match=r'expected \(20, 3\), found \(16, 3\)'):
        report(classifier(checkpoint, width=20))


def test_a_few_other_shapes_can_be_accepted(checkpoint):
    model = MODELS.build(toy_model_cfg())
    content = torch.load(checkpoint)
    model.load_state_dict(content['state_dict'])
    content['state_dict']['head.bias'] = torch.zeros(5)
    torch.save(content, checkpoint)
    with pytest.raises(RuntimeError, match='allow_mismatched'):
        report(model, load_from=checkpoint)
    (line,) = report(model, load_from=checkpoint, allow_mismatched=True)
    assert '10 of 11' in line and '1 of another shape' in line


def test_load_from_and_resume(checkpoint):
    model = MODELS.build(toy_model_cfg())
    with pytest.raises(RuntimeError, match='would not start from'):
        report(model, load_from=checkpoint)
    assert report(model, load_from=checkpoint, resume=True, iteration=7) == []
    # asked to resume where there was nothing yet: a fresh training after all
    with pytest.raises(RuntimeError, match='would not start from'):
        report(model, load_from=checkpoint, resume=True)
    model.load_state_dict(torch.load(checkpoint)['state_dict'])
    assert '11 of 11' in report(model, load_from=checkpoint)[0]


def test_training_from_scratch_reports_nothing():
    assert report(MODELS.build(toy_model_cfg())) == []
    assert LoadReportHook().allow_mismatched is False


@pytest.mark.parametrize(
    ('trained', 'std', 'to_rgb', 'warning'),
    [
        ('', [58.0, 57.0, 57.0], True, None),
        (
            '',
            [1.0, 1.0, 1.0],
            True,
            r'RGB .* std \[58.0, 57.0, 57.0\], here it is \[1.0, 1.0, 1.0\]',
        ),
        ('', [58.0, 57.0, 57.0], False, 'on RGB pictures: set bgr_to_rgb=True'),
        ('bgr=True, ', [58.0, 57.0, 57.0], False, None),
        ('bgr=True, ', [58.0, 57.0, 57.0], True, 'on BGR pictures: set bgr_to_rgb=False'),
    ],
)
def test_pictures_of_another_normalisation(tmp_path, trained, std, to_rgb, warning):
    pytest.importorskip('mmdet')
    resnet = dict(type='mmdet.ResNet', depth=18, base_channels=4, stem_channels=4)
    weights = {f'img_encoder.{k}': v for k, v in MODELS.build(resnet).state_dict().items()}
    meta = dict(
        cfg=f'model = dict(data_preprocessor=dict({trained}mean=[120, 120, 120], '
        'std=[58.0, 57.0, 57.0]))',
        mm3dpretrain=dict(transfer_modules=dict(image='img_encoder')),
    )
    path = tmp_path / 'pretrain.pth'
    torch.save(dict(state_dict=weights, meta=meta), path)
    from mmengine.model import BaseModel

    class Detector(BaseModel):
        def forward(self):
            """Not called."""

    preprocessor = dict(
        type='mmdet.DetDataPreprocessor', mean=[120.0] * 3, std=std, bgr_to_rgb=to_rgb
    )
    model = Detector(MODELS.build(preprocessor))
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='img_encoder.')
    model.backbone = MODELS.build(dict(resnet, init_cfg=init_cfg))
    model.init_weights()
    log = report(model)
    assert len(log) == (1 if warning is None else 2)
    if warning is not None:
        assert re.search(warning, log[1]), log[1]
