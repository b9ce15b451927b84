"""Several parts of a detector are filled, or the run stops."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from toy_lidar import PARTS, toy_detector, toy_encoder

pytest.importorskip('mmdet3d')

from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from mm3dpretrain.engine.hooks import LoadReportHook
from mm3dpretrain.models.utils import PretrainedParts
from mm3dpretrain.registry import MODELS


@pytest.fixture
def checkpoint(tmp_path):
    """A pre-training whose point encoder is the toy one; every weight is random."""
    torch.manual_seed(5)
    encoder = MODELS.build(toy_encoder('dynamic'))
    weights = {
        f'point_encoder.{key}': torch.randn_like(value) if value.is_floating_point() else value
        for key, value in encoder.state_dict().items()
    }
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=weights, meta={}), path)
    return path


def start(checkpoint, prefix='', width=16, seed=0, **settings):
    """A detector that asks for the parts, initialised."""
    torch.manual_seed(seed)
    parts = settings.pop('parts', {f'{prefix}{p}': f'point_encoder.{p}.' for p in PARTS})
    init_cfg = dict(
        type='mm3dpretrain.PretrainedParts', checkpoint=str(checkpoint), parts=parts, **settings
    )
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        cfg = toy_detector('dynamic', prefix, width)
        model = MODELS.build(ConfigDict(cfg, init_cfg=init_cfg))
        model.init_weights()
    return model


def report(model, **kwargs) -> list[str]:
    log = []
    logger = SimpleNamespace(info=log.append)
    runner = SimpleNamespace(model=model, _load_from=None, _resume=False, logger=logger)
    LoadReportHook(**kwargs).before_train(runner)
    return log


@pytest.mark.parametrize('prefix', ['', 'pts_'])
def test_all_parts_arrive(checkpoint, prefix):
    model = start(checkpoint, prefix)
    weights = torch.load(checkpoint)['state_dict']
    own = model.state_dict()
    assert len(weights) == sum(not key.startswith(f'{prefix}bbox_head') for key in own)
    for key, value in weights.items():
        assert own[prefix + key.removeprefix('point_encoder.')].equal(value), key
    lines = report(model, parts=[prefix + part for part in PARTS])
    assert [line.split(':')[0] for line in lines] == [prefix + part for part in PARTS]
    assert all(' 0 missing' in line and ' 0 of another shape' in line for line in lines)


def test_what_is_not_asked_for_starts_as_ever(checkpoint):
    model = start(checkpoint, parts={'neck': 'point_encoder.neck.'})
    weights = torch.load(checkpoint)['state_dict']
    assert model.neck.state_dict()['deblocks.0.0.weight'].equal(
        weights['point_encoder.neck.deblocks.0.0.weight']
    )
    # and that is how it starts without a checkpoint: arms of a comparison share what is random
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        scratch = MODELS.build(ConfigDict(toy_detector('dynamic')))
        scratch.init_weights()
    own = model.state_dict()
    for key, value in scratch.state_dict().items():
        assert key.startswith('neck.') or own[key].equal(value), key
    assert len(report(model)) == 1


def test_what_does_not_fit_stops(checkpoint):
    with pytest.raises(RuntimeError, match=r"(?s)for 'neck'.*another width.*expected .*20"):
        start(checkpoint, width=20)
    with pytest.raises(RuntimeError, match=r"(?s)prefix 'encoder\.'.*matches no weight"):
        start(checkpoint, parts={'neck': 'encoder.'})
    with pytest.raises(AttributeError, match='no_such_part'):
        start(checkpoint, parts={'no_such_part': 'point_encoder.neck.'})
    with pytest.raises(ValueError, match='needs parts'):
        PretrainedParts('a.pth', {})


def test_missing_weights_must_be_allowed(checkpoint):
    content = torch.load(checkpoint)
    lost = 'point_encoder.backbone.blocks.1.3.weight'
    del content['state_dict'][lost]
    torch.save(content, checkpoint)
    with pytest.raises(RuntimeError, match=r'(?s)only in part.*missing: blocks\.1\.3\.weight'):
        start(checkpoint)
    model = start(checkpoint, allow_missing=['backbone.blocks.1.'])
    # what is missing was initialised as the detector does it
    assert model.backbone.blocks[1][3].weight.std() > 0
    assert ' 1 missing' in next(line for line in report(model) if line.startswith('backbone'))


def test_parts_without_weights_are_no_matter(checkpoint):
    torch.manual_seed(0)
    encoder = MODELS.build(toy_encoder('second'))
    weights = {f'point_encoder.{key}': value for key, value in encoder.state_dict().items()}
    torch.save(dict(state_dict=weights), checkpoint)
    parts = {part: f'point_encoder.{part}.' for part in PARTS}
    init_cfg = dict(type='mm3dpretrain.PretrainedParts', checkpoint=str(checkpoint), parts=parts)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = MODELS.build(ConfigDict(toy_detector('second'), init_cfg=init_cfg))
        model.init_weights()
    lines = report(model, parts=list(PARTS))
    assert [line.split(':')[0] for line in lines] == ['middle_encoder', 'backbone', 'neck']


def test_an_init_cfg_that_is_ignored_is_found_out(checkpoint):
    """SECOND forgets the init_cfg that it is given."""
    cfg = toy_detector('dynamic')
    cfg['backbone']['init_cfg'] = dict(
        type='Pretrained', checkpoint=str(checkpoint), prefix='point_encoder.backbone.'
    )
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = MODELS.build(ConfigDict(cfg))
        model.init_weights()
    with pytest.raises(RuntimeError, match=r"\['backbone'\] would start from random weights"):
        report(model, parts=['backbone'])
