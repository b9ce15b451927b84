"""The commands as a user types them, on a few embedded shapes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mm3dpretrain.datasets.synthetic.writer import write_synthetic_shapes
from tools import test as test_tool
from tools import train as train_tool

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / 'configs/drpoint/pointdvae_dgcnn-tiny_1xb32-10e_synthetic.py'
METHOD = ROOT / 'configs/drpoint/drpoint_pointtransformer-tiny_1xb32-20e_synthetic.py'
CLASSIFIER = (
    ROOT / 'configs/downstream/classification/pointtransformer-tiny_1xb32-30e_synthetic_lin.py'
)


@pytest.fixture(scope='module')
def shapes(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('shapes')
    write_synthetic_shapes(
        out,
        train_per_class=4,
        test_per_class=2,
        categories=['chair', 'mug'],
        views=1,
        image_size=32,
        num_points=600,
        layouts=['shapenet'],
        workers=1,
        progress=False,
    )
    return out


def small(shapes: Path, *more: str) -> list[str]:
    """Options that make two epochs of two iterations of a config."""
    return [
        '--cfg-options',
        f'train_dataloader.dataset.data_root={shapes}',
        'train_dataloader.batch_size=4',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'train_cfg.max_epochs=2',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.logger.interval=1',
        'log_level=ERROR',
        *more,
    ]


@pytest.fixture(scope='module')
def tokenizer(shapes, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp('tokenizer')
    train_tool.main([str(TOKENIZER), '--work-dir', str(work_dir), *small(shapes)])
    return work_dir / 'epoch_2.pth'


def method_args(shapes, tokenizer, work_dir, *more):
    options = small(
        shapes,
        f'model.tokenizer.init_cfg.checkpoint={tokenizer}',
        'train_dataloader.dataset.pipeline.5.size=32',
        'model.views.image_size=32',
    )
    return [str(METHOD), '--work-dir', str(work_dir), *options, *more]


def read_losses(work_dir: Path) -> dict[int, float]:
    lines = [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    return {entry['step']: entry['loss'] for entry in lines if 'loss' in entry}


@pytest.fixture(scope='module')
def pretrained(shapes, tokenizer, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp('pretrained')
    train_tool.main(method_args(shapes, tokenizer, work_dir))
    return work_dir / 'epoch_2.pth'


def test_two_stages_and_what_the_checkpoint_says(tokenizer, pretrained):
    assert len(read_losses(pretrained.parent)) == 4
    checkpoint = torch.load(pretrained, weights_only=True)
    meta = checkpoint['meta']['mm3dpretrain']
    assert meta['method'] == 'DRPoint' and meta['gravity_axis'] == 'y'
    assert meta['transfer_modules'] == {'point': 'point_encoder', 'image': 'image_encoder'}
    state = torch.load(tokenizer, weights_only=True)['state_dict']
    for name, value in state.items():
        assert torch.equal(checkpoint['state_dict'][f'tokenizer.{name}'], value), name


def test_method_resumes_to_the_same_losses(shapes, tokenizer, pretrained, tmp_path):
    """DR-Point itself: stop after the first epoch, resume, end like the run that went through."""
    args = method_args(shapes, tokenizer, tmp_path)
    first = [a if a != 'train_cfg.max_epochs=2' else 'train_cfg.max_epochs=1' for a in args]
    train_tool.main(first)
    # a shorter schedule would end differently: take the checkpoint of the whole run's first epoch
    whole = pretrained.parent
    resumed = train_tool.main([*args, '--resume', str(whole / 'epoch_1.pth')])
    expected = read_losses(whole)
    actual = {k: v for k, v in read_losses(tmp_path).items() if k > 2}
    assert actual == {k: v for k, v in expected.items() if k > 2} and len(actual) == 2
    state = torch.load(pretrained, weights_only=True)['state_dict']
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_resume_without_a_checkpoint_starts(shapes, tmp_path, capsys):
    train_tool.main([str(TOKENIZER), '--work-dir', str(tmp_path), '--resume', *small(shapes)])
    assert 'starting from the beginning' in capsys.readouterr().out
    runner = train_tool.main(
        [str(TOKENIZER), '--work-dir', str(tmp_path), '--resume', *small(shapes)]
    )
    assert runner.epoch == 2, 'nothing was left to do'


def test_amp_runs_in_bfloat16_without_a_gpu(shapes, tokenizer, tmp_path):
    runner = train_tool.main(method_args(shapes, tokenizer, tmp_path, '--amp'))
    kind = type(runner.optim_wrapper).__name__
    assert kind == ('AmpOptimWrapper' if torch.cuda.is_available() else 'BFloat16OptimWrapper')
    losses = read_losses(tmp_path)
    assert len(losses) == 4 and all(abs(v) < 100 for v in losses.values())


def test_ema_hook(shapes, tmp_path):
    options = small(shapes, 'custom_hooks.0.type=EMAHook')
    train_tool.main([str(TOKENIZER), '--work-dir', str(tmp_path), *options])
    checkpoint = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    assert 'ema_state_dict' in checkpoint


def test_auto_scale_lr(shapes, tmp_path):
    with pytest.raises(ValueError, match='base_batch_size'):
        train_tool.main([str(TOKENIZER), '--work-dir', str(tmp_path), '--auto-scale-lr'])
    args = train_tool.parse_args(
        [
            str(ROOT / 'configs/drpoint/pointdvae_dgcnn_8xb8-300e_shapenet55.py'),
            '--auto-scale-lr',
        ]
    )
    assert train_tool.prepare_config(args).auto_scale_lr.enable


@pytest.mark.parametrize(
    'args, message',
    [
        (['no/such/config.py'], 'no/such/config.py'),
        ([str(TOKENIZER), '--resume', 'no/such.pth'], 'no/such.pth'),
    ],
)
def test_missing_files_are_named(args, message):
    with pytest.raises(FileNotFoundError, match=message):
        train_tool.main(args)


def test_unknown_registry_name_is_named(shapes, tmp_path):
    options = small(shapes, 'model.type=PointDVEA')
    with pytest.raises(KeyError, match='PointDVEA'):
        train_tool.main([str(TOKENIZER), '--work-dir', str(tmp_path), *options])


def test_tokenizer_of_another_width_stops_the_training(shapes, tokenizer, tmp_path):
    options = method_args(shapes, tokenizer, tmp_path)
    options += ['model.tokenizer.num_tokens=256', 'model.token_head.num_tokens=256']
    with pytest.raises(RuntimeError, match='codebook|token'):
        train_tool.main(options)


def test_test_tool(shapes, pretrained, tmp_path):
    options = small(
        shapes,
        f'test_dataloader.dataset.data_root={shapes}',
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
        'model.head.num_classes=2',
        f'model.backbone.init_cfg.checkpoint={pretrained}',
    )
    train_tool.main([str(CLASSIFIER), '--work-dir', str(tmp_path), *options])
    metrics = test_tool.main(
        [
            str(CLASSIFIER),
            str(tmp_path / 'epoch_2.pth'),
            '--work-dir',
            str(tmp_path / 'test'),
            '--json',
            str(tmp_path / 'metrics.json'),
            *options,
        ]
    )
    assert json.loads((tmp_path / 'metrics.json').read_text()) == metrics
    assert any('accuracy' in key.lower() or 'top' in key.lower() for key in metrics)
    with pytest.raises(ValueError, match='tools/probe.py'):
        test_tool.main([str(METHOD), str(pretrained)])


def test_two_processes_train(shapes, tokenizer, tmp_path):
    """tools/dist_train.sh, over gloo where there is no GPU."""
    if torch.cuda.is_available() and torch.cuda.device_count() < 2:
        pytest.skip('needs no GPU or two of them')
    command = [str(ROOT / 'tools/dist_train.sh'), str(METHOD), '2']
    command += method_args(shapes, tokenizer, tmp_path, 'train_dataloader.batch_size=2')[1:]
    with socket.socket() as probe:  # a port that no other run on this machine uses
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    run = subprocess.run(
        command,
        env=dict(os.environ, PYTHON=sys.executable, PORT=port, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert len(read_losses(tmp_path)) == 4
