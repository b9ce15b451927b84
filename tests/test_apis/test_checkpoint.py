import pickle

import pytest
import torch
from toy_parts import TOY_CONFIG, save_toy_checkpoint, toy_model_cfg

from mm3dpretrain.apis import (
    check_conventions,
    compare_keys,
    config_of,
    load_pretrained,
    load_weights,
    read_checkpoint,
    strip_prefix,
)
from mm3dpretrain.registry import MODELS


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    save_toy_checkpoint(path)
    return path


@pytest.fixture
def write_config(tmp_path):
    def write(**kwargs):
        path = tmp_path / 'config.py'
        path.write_text(TOY_CONFIG.format(**{'width': 16, 'kind': 'ToyPretrainer', **kwargs}))
        return path

    return write


def test_weights_and_meta_come_back(checkpoint):
    saved = torch.load(checkpoint)['state_dict']
    model = load_pretrained(checkpoint)
    assert not model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, saved[key]), key
    assert len(model.load_report.matched) == len(saved)
    assert model.checkpoint_meta['mm3dpretrain']['method'] == 'ToyPretrainer'
    assert model.cfg.probe.seeds == (0, 1, 2)


def test_config_file_replaces_the_stored_one(checkpoint, write_config):
    load_pretrained(checkpoint, write_config())


def test_another_method(checkpoint, write_config):
    with pytest.raises(RuntimeError, match='builds OtherPretrainer.*holds ToyPretrainer'):
        load_pretrained(checkpoint, write_config(kind='OtherPretrainer'))


def test_another_width(checkpoint, write_config):
    with pytest.raises(RuntimeError, match=r'(?s)another width.*\(20, 3\), found \(16, 3\)'):
        load_pretrained(checkpoint, write_config(width=20))


def test_nothing_matches(tmp_path, write_config):
    path = tmp_path / 'alien.pth'
    torch.save(dict(state_dict={'backbone.conv.weight': torch.ones(3)}), path)
    with pytest.raises(RuntimeError, match='(?s)matches no weight.*0 matched'):
        load_pretrained(path, write_config())


def test_part_of_the_weights(tmp_path, write_config):
    path = tmp_path / 'part.pth'
    full = save_toy_checkpoint(path)
    del full['head.bias']
    torch.save(dict(state_dict=full), path)
    with pytest.raises(RuntimeError, match=r'(?s)only in part.*1 missing.*missing: head.bias'):
        load_pretrained(path, write_config())
    model = load_pretrained(path, write_config(), allow_missing=True)
    assert model.load_report.missing == ['head.bias']


def test_missing_files(tmp_path, checkpoint):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        load_pretrained(tmp_path / 'nowhere.pth')
    with pytest.raises(FileNotFoundError, match='nowhere.py'):
        load_pretrained(checkpoint, tmp_path / 'nowhere.py')


@pytest.mark.parametrize('content', [b'', b'hello', b'PK\x03\x04 cut off'])
def test_not_a_checkpoint(tmp_path, content):
    path = tmp_path / 'broken.pth'
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match='broken.pth'):
        read_checkpoint(path)


@pytest.mark.parametrize('content', [[1, 2], dict(meta={}), torch.ones(3)])
def test_files_without_weights(tmp_path, content):
    path = tmp_path / 'other.pth'
    torch.save(content, path)
    with pytest.raises(RuntimeError, match='other.pth'):
        read_checkpoint(path)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.mark.parametrize('legacy', [False, True])
def test_code_in_a_pickle_never_runs(tmp_path, legacy):
    path, trace = tmp_path / 'bomb.pth', tmp_path / 'ran'
    content = dict(state_dict={'a': torch.ones(1)}, meta=Bomb(str(trace)))
    if legacy:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(RuntimeError, match='bomb.pth'):
        load_pretrained(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    'text',
    [
        "model = dict(type=open('{trace}', 'w'))",
        "__import__('os').mknod('{trace}')",
        "model = [x for x in [open('{trace}', 'w')]]",
        'def',
        '',
    ],
)
def test_code_in_the_stored_config_never_runs(tmp_path, text):
    trace = tmp_path / 'ran'
    with pytest.raises(RuntimeError, match='x.pth.*--config'):
        config_of(dict(cfg=text.format(trace=trace)), 'x.pth')
    assert not trace.exists()


def test_stored_config_is_read_like_mmengine_does(tmp_path):
    text = (
        "a = dict(b=-1.5, c=[1, (2, 'x'), None], **{'d e': True})\n"
        "lst = [dict(lr=1e-05), {'k': {}}]\n"
    )
    from mmengine.config import Config

    path = tmp_path / 'c.py'
    path.write_text(text)
    expected = Config.fromfile(path)
    assert config_of(dict(cfg=expected.pretty_text)).to_dict() == expected.to_dict()


def test_load_weights_leaves_the_module_alone_when_it_refuses():
    model = MODELS.build(toy_model_cfg())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    wrong = {k: v + 1 for k, v in before.items() if v.is_floating_point()}
    wrong['head.weight'] = torch.zeros(3, 99)
    with pytest.raises(RuntimeError, match='head.weight'):
        load_weights(model, wrong, allow_missing=True)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_report_and_prefix():
    module = torch.nn.Linear(2, 3)
    weights = {'point_encoder.weight': torch.ones(3, 2), 'point_encoder.old': torch.ones(1)}
    for prefix in ('point_encoder', 'point_encoder.'):
        report = compare_keys(module, strip_prefix(weights, prefix))
        assert report.matched == ['weight'] and report.missing == ['bias']
        assert report.unexpected == ['old'] and not report.mismatched
    assert strip_prefix(weights, 'point') == {}
    assert '1 matched, 1 missing, 1 unexpected, 0 of another shape' in str(report)


def test_conventions():
    meta = dict(mm3dpretrain=dict(gravity_axis='y', normalization='unknown', point_channels=['x']))
    assert check_conventions(meta, gravity_axis='y', normalization='metric') == []
    assert check_conventions(meta, gravity_axis='none', point_channels=('x',)) == []
    found = check_conventions(meta, 'a.pth', gravity_axis='z', point_channels=('x', 'y'))
    assert len(found) == 2 and found[0].startswith("a.pth was trained with gravity_axis='y'")
    assert check_conventions({}, gravity_axis='z') == []


def test_kernels_of_spconv1_are_named():
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.zeros(8, 3, 3, 3, 4))
    report = compare_keys(module, {'weight': torch.zeros(3, 3, 3, 4, 8)})
    assert '1 of these are kernels of spconv 1' in str(report)
    with pytest.raises(RuntimeError, match='spconv1_to_spconv2'):
        report.require('old.pth')
    assert 'spconv' not in str(compare_keys(module, {'weight': torch.zeros(8, 3, 3, 3, 5)}))
