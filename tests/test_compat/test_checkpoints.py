from __future__ import annotations

import collections
import io
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner
from torch.utils.data import Dataset

# After MMEngine on purpose: what is there already is mended too.
from mm3dpretrain.compat import CheckpointError, checkpoints, load_checkpoint

# Our own unpickler everywhere, torch's where it is the one that is used.
UNPICKLERS = [True, False] if checkpoints.TORCH_UNPICKLES_SAFELY else [True]


class Numbers(Dataset):
    metainfo = ConfigDict(classes=('a', 'b'), palette=np.arange(3), weights=dict(a=0.5))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.full((2,), float(index)))


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='loss'):
        return dict(loss=self.layer(inputs).square().mean())


def make_runner(work_dir, epochs, **kwargs):
    return Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            dataset=Numbers(),
            sampler=dict(type=DefaultSampler, shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=epochs),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        randomness=dict(seed=0),
        experiment_name=f'compat_{work_dir.name}_{epochs}',
        log_level='ERROR',
        **kwargs,
    )


def test_a_run_saves_and_resumes(tmp_path):
    make_runner(tmp_path, epochs=1).train()
    file = tmp_path / 'epoch_1.pth'
    assert not list(tmp_path.glob('*.tmp'))

    runner = make_runner(tmp_path, epochs=2, resume=True)
    runner.train()
    assert runner.iter == 8
    history = runner.message_hub.log_scalars['train/loss']
    assert isinstance(history, HistoryBuffer) and len(history.data[0]) == 8

    for restricted in UNPICKLERS:
        loaded = load_checkpoint(file, 'cpu', restricted=restricted)
        assert loaded['meta']['dataset_meta']['weights'] == dict(a=0.5)
        assert loaded['meta']['dataset_meta']['palette'].tolist() == [0, 1, 2]
        assert 'optimizer' in loaded and 'param_schedulers' in loaded


def harmless() -> dict:
    return {
        'state_dict': collections.OrderedDict(weight=torch.arange(3.0), half=torch.ones(2).half()),
        'parameter': torch.nn.Parameter(torch.ones(2)),
        'history': HistoryBuffer([1.0, 2.0], [1, 1]),
        'config': ConfigDict(model=dict(type='A', depths=[1, 2])),
        'scalars': [np.float32(0.5), np.float64(0.25), np.int64(3), np.bool_(True)],
        'arrays': [np.zeros((2, 2), dtype=dtype) for dtype in ('f2', 'f4', 'f8', 'u1', 'i8', '?')],
        'names': np.array(['left', 'right']),
        'plain': {'set': {1, 2}, 'complex': 1j, 'bytes': b'a', 'size': torch.Size([1, 2])},
    }


@pytest.mark.parametrize('restricted', UNPICKLERS)
@pytest.mark.parametrize('zipped', [True, False])
def test_everything_harmless_comes_back(tmp_path, restricted, zipped):
    file = tmp_path / 'a.pth'
    saved = harmless()
    torch.save(saved, file, _use_new_zipfile_serialization=zipped)
    loaded = load_checkpoint(file, 'cpu', restricted=restricted)
    assert loaded.keys() == saved.keys()
    assert torch.equal(loaded['state_dict']['weight'], saved['state_dict']['weight'])
    assert loaded['state_dict']['half'].dtype == torch.float16
    assert loaded['history'].mean() == 1.5
    assert loaded['config'].model.depths == [1, 2]
    assert loaded['scalars'] == saved['scalars']
    for ours, theirs in zip(loaded['arrays'], saved['arrays']):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert loaded['names'].tolist() == ['left', 'right']
    assert loaded['plain'] == saved['plain']


@pytest.mark.parametrize('restricted', UNPICKLERS)
def test_arrays_of_the_other_numpy_generation(tmp_path, restricted):
    reconstruct = np.zeros(1).__reduce__()[0]
    here = reconstruct.__module__
    there = 'numpy.core.multiarray' if '_core' in here else 'numpy._core.multiarray'
    assert f'{there}._reconstruct' in checkpoints.allowed_classes()
    file = tmp_path / 'a.pth'
    torch.save({'array': np.arange(3)}, file, _use_new_zipfile_serialization=False)
    data = file.read_bytes()
    assert here.encode() in data
    file.write_bytes(data.replace(here.encode(), there.encode()))
    assert load_checkpoint(file, restricted=restricted)['array'].tolist() == [0, 1, 2]


class RunsCode:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize('restricted', UNPICKLERS)
@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('protocol', [2, 4])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, restricted, protocol):
    file = tmp_path / 'evil.pth'
    torch.save({'state_dict': RunsCode(tmp_path / 'ran')}, file, pickle_protocol=protocol)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(file, restricted=restricted)
    assert not (tmp_path / 'ran').exists()
    assert str(file) in str(caught.value)
    if protocol == 2:  # torch's own unpickler knows no later one
        assert 'mkdir' in str(caught.value)
    torch.load(file, weights_only=False)  # the trap does work
    assert (tmp_path / 'ran').exists()


@pytest.mark.parametrize('restricted', UNPICKLERS)
def test_bare_pickle_with_code_is_refused(tmp_path, restricted):
    file = tmp_path / 'evil.pkl'
    file.write_bytes(pickle.dumps(RunsCode(tmp_path / 'ran'), protocol=2))
    with pytest.raises(CheckpointError, match='evil.pkl'):
        load_checkpoint(file, restricted=restricted)
    assert not (tmp_path / 'ran').exists()


class Detour:
    """Reaches a function's globals through attributes of what is allowed."""

    def __reduce__(self):
        return getattr, (HistoryBuffer.mean, '__globals__')


@pytest.mark.parametrize('restricted', UNPICKLERS)
def test_attributes_of_allowed_classes_are_refused(tmp_path, restricted):
    file = tmp_path / 'evil.pth'
    torch.save(Detour(), file)
    with pytest.raises(CheckpointError, match='__globals__'):
        load_checkpoint(file, restricted=restricted)


@pytest.mark.parametrize('dotted', ['torch.serialization.os', 'numpy.testing'])
def test_dotted_detours_are_refused(dotted):
    """Protocol 4 may name an attribute of an attribute: only whole names on the list count."""
    stream = pickle.PROTO + b'\x04'
    for text in (dotted.partition('.')[0], f'{dotted.partition(".")[2]}.system'):
        stream += pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode()
    stream += pickle.STACK_GLOBAL + pickle.STOP
    with pytest.raises(pickle.UnpicklingError, match='GLOBAL'):
        checkpoints.RestrictedUnpickler(io.BytesIO(stream)).load()


def test_mmengine_reads_through_the_safe_loader(tmp_path):
    file = tmp_path / 'evil.pth'
    torch.save(RunsCode(tmp_path / 'ran'), file)
    with pytest.raises(CheckpointError, match='evil.pth'):
        CheckpointLoader.load_checkpoint(str(file), logger='silent')
    with pytest.raises(FileNotFoundError, match='absent.pth'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'absent.pth'), logger='silent')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('scheme', ['http://host/evil.pth', 'torchvision://evil'])
def test_downloads_are_read_safely_too(tmp_path, monkeypatch, scheme):
    from mmengine.runner import checkpoint as module

    trap = tmp_path / 'ran'

    def download(url, target, progress):
        torch.save(RunsCode(trap), target)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(module, 'get_torchvision_models', lambda: {'evil': 'https://host/evil.pth'})
    with pytest.raises(CheckpointError, match='evil.pth'):
        CheckpointLoader.load_checkpoint(scheme, 'cpu', logger='silent')
    assert not trap.exists()


@pytest.mark.parametrize('restricted', UNPICKLERS)
@pytest.mark.parametrize(
    'content',
    [b'', b'this is a text file\n', b'PK\x03\x04 and nothing more', b'\x89PNG\r\n\x1a\n' * 4],
    ids=['empty', 'text', 'cut zip', 'picture'],
)
def test_other_files_are_named(tmp_path, content, restricted):
    file = tmp_path / 'odd.pth'
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match='odd.pth'):
        load_checkpoint(file, restricted=restricted)


@pytest.mark.parametrize('restricted', UNPICKLERS)
def test_truncated_checkpoint_is_named(tmp_path, restricted):
    file = tmp_path / 'cut.pth'
    torch.save(harmless(), file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match='cut.pth.*1000 bytes'):
        load_checkpoint(file, restricted=restricted)


@pytest.mark.parametrize('name', ['', '.checkpoint', '.runner'])
def test_killed_while_saving_leaves_the_old_file(tmp_path, monkeypatch, name):
    from mmengine.fileio import LocalBackend

    save = sys.modules[f'mmengine.runner{name}'].save_checkpoint
    file = tmp_path / 'a.pth'
    save({'step': 1}, str(file))

    def put(self, obj, filepath):
        with open(filepath, 'wb') as stream:
            stream.write(obj[: len(obj) // 2])
        raise OSError('no space left on device')

    monkeypatch.setattr(LocalBackend, 'put', put)
    with pytest.raises(OSError, match='no space left'):
        save({'step': 2}, str(file))
    assert load_checkpoint(file) == {'step': 1}
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_a_wrong_prefix_names_what_is_there(tmp_path):
    from mmengine.model import BaseModule

    path = tmp_path / 'pretrain.pth'
    weights = {'point_encoder.blocks.0.weight': torch.zeros(2), 'head.bias': torch.zeros(1)}
    torch.save(dict(state_dict=weights, meta={}), path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    module = BaseModule(init_cfg)
    module.layer = torch.nn.Linear(2, 2)
    with pytest.raises(
        CheckpointError, match="prefix 'backbone.'; its names begin with head.bias., point_encoder"
    ):
        module.init_weights()


def test_folder_of_deepspeed(tmp_path):
    """Whole weights lie in the folder; one without them says what it is."""
    folder = tmp_path / 'epoch_1.pth'
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match='folder without weights.pth.*zero_to_fp32'):
        load_checkpoint(folder)
    torch.save(dict(state_dict=dict(a=torch.ones(2))), folder / 'weights.pth')
    assert load_checkpoint(folder)['state_dict']['a'].tolist() == [1, 1]
