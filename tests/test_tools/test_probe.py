import importlib.util
import json
from pathlib import Path

import pytest
from toy_parts import TOY_CONFIG, save_toy_checkpoint

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('probe_tool', TOOLS / 'probe.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    save_toy_checkpoint(path)
    return str(path)


def test_table_and_json(tool, checkpoint, tmp_path, capsys):
    file = tmp_path / 'out' / 'probe.json'
    assert tool.main([checkpoint, '--seeds', '0', '1', '--json', str(file), '--baseline']) == 0
    text = capsys.readouterr().out
    for word in ('linear_svm', 'knn', 'd2_histogram', 'pretrained', 'untrained', '24 training'):
        assert word in text
    scores = json.loads(file.read_text())['probe']
    for name in ('linear_svm', 'knn'):
        for which in ('pretrained', 'untrained'):
            assert set(scores[name][which]) == {'mean', 'std', 'seeds'}
            assert len(scores[name][which]['seeds']) == 2
    assert [p.name for p in file.parent.iterdir()] == ['probe.json']


def test_options_and_another_dataset(tool, checkpoint, tmp_path, capsys):
    assert (
        tool.main([checkpoint, '--seeds', '0', '--cfg-options', 'probe.test_dataset.size=9']) == 0
    )
    assert '24 training and 9 test clouds' in capsys.readouterr().out
    other = tmp_path / 'other.py'
    other.write_text(TOY_CONFIG.format(width=99, kind='X').replace('size=24', 'size=15'))
    assert tool.main([checkpoint, '--seeds', '0', '--dataset', str(other)]) == 0
    assert '15 training' in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['nowhere.pth'], "'nowhere.pth' does not exist"),
        (['CHECKPOINT', '--config', 'nowhere.py'], "'nowhere.py' does not exist"),
        (['CHECKPOINT', '--dataset', 'nowhere.py'], "'nowhere.py' does not exist"),
        (['CHECKPOINT', 'CHECKPOINT'], '2 checkpoints for 3 seeds'),
        (['CHECKPOINT', '--cfg-options', 'probe.test_dataset=None'], 'no probe.test_dataset'),
        (['CHECKPOINT', '--cfg-options', 'model.point_encoder.width=20'], 'another width'),
        (['CHECKPOINT', '--cfg-options', 'model.type=OtherPretrainer'], 'another method'),
    ],
)
def test_one_line_says_what_is_wrong(tool, checkpoint, capsys, arguments, message):
    arguments = [checkpoint if a == 'CHECKPOINT' else a for a in arguments]
    assert tool.main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith('error: ') and message in captured.err
