import math

import numpy as np
import pytest
from mmengine.config import Config

from mm3dpretrain.evaluation.transfer import (
    arm_config,
    compare_arms,
    declared_parts,
    format_comparison,
    mean_curves,
)

CONFIG = dict(
    model=dict(type='M', backbone=dict(type='B', init_cfg=dict(type='Pretrained')), head=dict()),
    custom_hooks=[dict(type='LoadReportHook', allow_mismatched=True), dict(type='Other')],
    load_from='somewhere.pth',
)


def test_arms_differ_in_one_place():
    cfg = Config(CONFIG)
    scratch = arm_config(cfg, 'backbone', None, None)
    pretrained = arm_config(cfg, 'backbone', 'a.pth', 'point_encoder.')
    assert scratch.model.backbone.init_cfg is None and scratch.load_from is None
    assert pretrained.model.backbone.init_cfg == dict(
        type='Pretrained', checkpoint='a.pth', prefix='point_encoder.'
    )
    # the proof of the load is strict, whatever the config says
    assert [h['type'] for h in scratch.custom_hooks] == ['Other']
    assert pretrained.custom_hooks[-1] == dict(
        type='mm3dpretrain.LoadReportHook', parts=['backbone']
    )
    pretrained.model.backbone.init_cfg = None
    pretrained.custom_hooks = scratch.custom_hooks
    assert pretrained.to_dict() == scratch.to_dict()
    assert cfg.model.backbone.init_cfg == dict(type='Pretrained')  # the original is untouched
    assert 'prefix' not in arm_config(cfg, 'backbone', 'a.pth', '').model.backbone.init_cfg


def test_the_parts_that_a_config_names():
    declared = dict(type='mm3dpretrain.PretrainedParts', checkpoint='b.pth', parts=dict(neck='n.'))
    cfg = Config(dict(model=dict(CONFIG['model'], init_cfg=declared)))
    scratch, pretrained = (arm_config(cfg, None, start, 'not used') for start in (None, 'a.pth'))
    assert scratch.model.init_cfg is None and scratch.custom_hooks == []
    assert pretrained.model.init_cfg == dict(declared, checkpoint='a.pth')
    assert pretrained.custom_hooks == [dict(type='mm3dpretrain.LoadReportHook', parts=['neck'])]
    # what another part starts from is none of its business
    assert pretrained.model.backbone == scratch.model.backbone == CONFIG['model']['backbone']
    # a module that the command line names is not filled by the config as well
    named = dict(declared, parts=dict(backbone='b.', neck='n.'))
    for parts, left in ((named, dict(declared, parts=dict(neck='n.'))), (declared, declared)):
        cfg = Config(dict(model=dict(CONFIG['model'], init_cfg=parts)))
        for start in (None, 'a.pth'):
            assert arm_config(cfg, 'backbone', start, 'e.').model.init_cfg == left
    named = dict(declared, parts=dict(backbone='b.'))
    cfg = Config(dict(model=dict(CONFIG['model'], init_cfg=named)))
    assert arm_config(cfg, 'backbone', None, None).model.init_cfg is None
    assert declared_parts(Config(CONFIG)) is None
    with pytest.raises(ValueError, match='names no PretrainedParts'):
        arm_config(Config(CONFIG), None, None, None)


def test_unknown_module():
    with pytest.raises(ValueError, match="no part 'backbone.stem'.*'stem' is not among"):
        arm_config(Config(CONFIG), 'backbone.stem', None, None)


def test_paired_difference():
    scratch = {0: dict(acc=50.0, note='x'), 1: dict(acc=60.0, note='x'), 2: dict(acc=40.0)}
    pretrained = {2: dict(acc=41.0), 0: dict(acc=52.0, note='y'), 1: dict(acc=60.0, note='y')}
    table = compare_arms(dict(scratch=scratch, pretrained=pretrained))
    assert list(table) == ['acc']
    entry = table['acc']
    assert entry['seeds'] == [0, 1, 2] and entry['better'] == 2
    assert entry['difference']['values'] == [2.0, 0.0, 1.0]
    assert entry['difference']['mean'] == pytest.approx(1.0)
    assert entry['difference']['std'] == pytest.approx(1.0)
    assert entry['scratch']['std'] == pytest.approx(10.0)
    text = format_comparison(table)
    assert '| acc ' in text and '+1.00 +- 1.00' in text and '2 of 3 seeds' in text


def test_one_seed_has_no_deviation():
    table = compare_arms(dict(scratch={0: dict(acc=1.0)}, pretrained={0: dict(acc=0.5)}))
    assert math.isnan(table['acc']['scratch']['std'])
    text = format_comparison(table)
    assert '-0.5000' in text and 'nan' not in text and '+-' not in text


def test_arms_that_cannot_be_compared():
    with pytest.raises(ValueError, match='same seeds'):
        compare_arms(dict(scratch={0: dict(a=1.0)}, pretrained={1: dict(a=1.0)}))
    with pytest.raises(ValueError, match='share no metric'):
        compare_arms(dict(scratch={0: dict(a=1.0)}, pretrained={0: dict(a=float('nan'))}))


def test_mean_curves():
    runs = [[dict(step=1, loss=2.0), dict(step=2, loss=1.0), dict(step=3, acc=1.0)],
            [dict(step=1, loss=4.0), dict(step=2, loss=1.0), dict(step=3, loss=9.0)]]  # fmt: skip
    steps, mean, deviation = mean_curves(runs, 'loss')
    np.testing.assert_allclose(steps, [1, 2])
    np.testing.assert_allclose(mean, [3, 1])
    np.testing.assert_allclose(deviation, [math.sqrt(2), 0])
    assert len(mean_curves(runs, 'nothing')[0]) == 0
