"""Two processes on the CPU train as one does, with whole and with sharded models."""

from __future__ import annotations

import copy
import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from dist_utils import run_distributed
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from torch import nn

from mm3dpretrain.apis.checkpoint import read_checkpoint
from mm3dpretrain.datasets.samplers import seed_everything
from mm3dpretrain.engine.strategies.deepspeed import deepspeed_settings
from mm3dpretrain.models.encoders import PPAT
from mm3dpretrain.registry import DATASETS, MODELS, STRATEGIES
from mm3dpretrain.structures import PretrainDataSample
from mm3dpretrain.utils import prepare_runtime
from tools import train as train_tool

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 16
SAMPLES = 16


@MODELS.register_module(force=True)
class PlainPPAT(PPAT):
    """PPAT without batch statistics, which half a batch does not share with the whole one."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        for part in self.patch_mlp:
            part[1] = nn.Identity()


@DATASETS.register_module(force=True)
class FixedTriplets(BaseDataset):
    """Clouds with embeddings of a teacher; every third has no text."""

    METAINFO = dict(gravity_axis='y', normalization='unit_sphere')

    def load_data_list(self):
        return [dict(index=i) for i in range(SAMPLES)]

    def __getitem__(self, index):
        rng = np.random.default_rng(int(index))
        points = np.concatenate([rng.uniform(-0.5, 0.5, (64, 3)), rng.random((64, 3))], 1)
        inputs = dict(
            points=points,
            image_embeds=rng.normal(size=WIDTH),
            text_embeds=rng.normal(size=WIDTH),
            has_image=1.0,
            has_text=float(index % 3 > 0),
        )
        inputs = {k: torch.as_tensor(v, dtype=torch.float32) for k, v in inputs.items()}
        return dict(inputs=inputs, data_samples=PretrainDataSample())


def config(work_dir, batch_size: int, **more) -> Config:
    cfg = dict(
        default_scope='mm3dpretrain',
        model=dict(
            type='MRD',
            embed_dim=WIDTH,
            point_encoder=dict(
                type='PlainPPAT',
                scaling=1,
                embed_dim=24,
                depth=2,
                num_heads=2,
                mlp_dim=32,
                patch_dim=16,
                num_groups=8,
                group_size=8,
                radius=0.4,
            ),
            alignment=dict(type='MultiModalAlignmentLoss'),
            intra_loss=dict(type='IntraRelationLoss'),
            cross_loss=dict(type='CrossRelationLoss'),
        ),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            drop_last=True,
            sampler=dict(type='SeededSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='FixedTriplets'),
        ),
        optim_wrapper=dict(
            type='OptimWrapper',
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.05),
            paramwise_cfg=dict(
                layer_decay=dict(module='point_encoder', rate=0.8),
                norm_decay_mult=0.0,
                bias_decay_mult=0.0,
            ),
            clip_grad=dict(max_norm=0.5),
        ),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=4)],
        train_cfg=dict(type='ResumableTrainLoop', max_epochs=3),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(type='CheckpointHook', interval=1),
        ),
        custom_hooks=[dict(type='IterSeedHook'), dict(type='CheckpointMetaHook')],
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        randomness=dict(seed=0),
        log_level='ERROR',
        work_dir=str(work_dir),
    )
    cfg = Config(cfg)
    cfg.merge_from_dict(more)
    return cfg


def sharded(**more) -> dict:
    strategy = dict(type='FSDPStrategy', blocks=('point_encoder.blocks',))
    return dict(runner_type='FlexibleRunner', strategy=strategy, **more)


def train(rank, world_size, work_dir, batch_size, more, resume=None):
    cfg = config(work_dir, batch_size, **copy.deepcopy(more))
    cfg.launcher = 'none' if world_size == 1 else 'pytorch'
    if resume:
        cfg.resume, cfg.load_from = True, str(resume)
    seed_everything(0)
    runner = train_tool.run(cfg)
    return runner.iter


def losses(work_dir: Path) -> dict[int, dict]:
    lines = [
        json.loads(line)
        for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    return {entry['step']: entry for entry in lines if 'loss' in entry}


def read(path) -> dict:
    return torch.load(path, weights_only=True)


EMA = [
    dict(type='IterSeedHook'),
    dict(type='CheckpointMetaHook'),
    dict(type='EMAHook', momentum=0.3),
]


@pytest.fixture(scope='module')
def one(tmp_path_factory) -> Path:
    """Three epochs of two steps by one process, weights averaged."""
    work_dir = tmp_path_factory.mktemp('one')
    train(0, 1, work_dir, 8, dict(custom_hooks=EMA))
    return work_dir


@pytest.fixture(scope='module')
def fsdp(tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp('fsdp')
    assert run_distributed(train, 2, (work_dir, 4, sharded(custom_hooks=EMA))) == [6, 6]
    return work_dir


def assert_same_training(actual: dict, expected: dict, **tolerance) -> None:
    """Weights, averages, and the state of the optimiser."""
    for key in ('state_dict', 'ema_state_dict'):
        assert set(actual[key]) == set(expected[key])
        for name, value in expected[key].items():
            torch.testing.assert_close(actual[key][name], value, msg=name, **tolerance)
    ours, theirs = actual['optimizer'], expected['optimizer']
    assert ours['param_groups'] == theirs['param_groups']
    assert set(ours['state']) == set(theirs['state'])
    for index, state in theirs['state'].items():
        for name, value in state.items():
            torch.testing.assert_close(ours['state'][index][name], value, msg=name, **tolerance)


CLOSE = dict(rtol=2e-3, atol=2e-5)


def test_ddp_equals_one_process(one, tmp_path):
    assert run_distributed(train, 2, (tmp_path, 4, dict(custom_hooks=EMA))) == [6, 6]
    assert_same_training(read(tmp_path / 'epoch_3.pth'), read(one / 'epoch_3.pth'), **CLOSE)


def test_fsdp_equals_one_process(one, fsdp):
    expected, actual = losses(one), losses(fsdp)
    assert len(expected) == len(actual) == 6
    for step, entry in expected.items():
        # the gradient of all parameters: it was clipped by the norm of the whole model
        np.testing.assert_allclose(actual[step]['grad_norm'], entry['grad_norm'], rtol=1e-4)
        np.testing.assert_allclose(actual[step]['logit_scale'], entry['logit_scale'], rtol=1e-4)
    assert_same_training(read(fsdp / 'epoch_3.pth'), read(one / 'epoch_3.pth'), **CLOSE)


def test_fsdp_checkpoint_is_whole(fsdp):
    """Its weights are a plain model's, which takes them to the bit, and it says where from."""
    checkpoint = read(fsdp / 'epoch_3.pth')
    model = MODELS.build(config(fsdp, 4).model)
    assert not model.load_state_dict(checkpoint['state_dict']).missing_keys
    for name, value in model.state_dict().items():
        assert torch.equal(value, checkpoint['state_dict'][name]), name
    assert checkpoint['meta']['mm3dpretrain']['method'] == 'MRD'
    trained = checkpoint['ema_state_dict']
    assert trained['steps'] == 6
    assert any(not torch.equal(trained[f'module.{k}'], v) for k, v in model.state_dict().items())


@pytest.mark.parametrize('kind, start', [('fsdp', 'fsdp'), ('fsdp', 'one'), ('one', 'fsdp')])
def test_resume(kind, start, request, tmp_path):
    """Any run goes on from any other, and ends like the one that was never stopped."""
    source = request.getfixturevalue(start)
    if kind == 'one':
        args = (tmp_path, 8, dict(custom_hooks=EMA), source / 'epoch_2.pth')
        assert train(0, 1, *args) == 6
    else:
        args = (tmp_path, 4, sharded(custom_hooks=EMA), source / 'epoch_2.pth')
        assert run_distributed(train, 2, args) == [6, 6]
    assert set(losses(tmp_path)) == {5, 6}
    whole = request.getfixturevalue(kind)
    exact = dict(rtol=0, atol=0) if kind == start else CLOSE
    assert_same_training(read(tmp_path / 'epoch_3.pth'), read(whole / 'epoch_3.pth'), **exact)


def step_count(path) -> int:
    return int(read(path)['optimizer']['state'][0]['step'])


def test_accumulation(tmp_path):
    """Two batches for a step of the optimiser, with the same gradients in sharded training."""
    options = dict(optim_wrapper=dict(accumulative_counts=2))
    train(0, 1, tmp_path / 'one', 8, options)
    run_distributed(train, 2, (tmp_path / 'fsdp', 4, sharded(**options)))
    for kind in ('one', 'fsdp'):
        assert len(losses(tmp_path / kind)) == 6
        assert step_count(tmp_path / kind / 'epoch_3.pth') == 3
    one, fsdp = (read(tmp_path / kind / 'epoch_3.pth')['state_dict'] for kind in ('one', 'fsdp'))
    for name, value in one.items():
        torch.testing.assert_close(fsdp[name], value, msg=name, **CLOSE)


def _with_teacher(rank, world_size, work_dir):
    """A frozen teacher, weights from a file, activations computed again, bfloat16: all at once."""
    cfg = config(work_dir, 4, **sharded())
    cfg.launcher = 'pytorch'
    cfg.model.image_teacher = dict(type='ToyTower')
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    cfg.train_cfg.max_epochs = 1
    cfg.custom_hooks = [
        dict(type='CheckpointMetaHook'),
        dict(type='LoadReportHook'),
        dict(type='ActivationCheckpointHook', modules=('point_encoder.blocks',)),
    ]
    cfg.load_from = str(work_dir / 'start.pth')
    runner = train_tool.run(cfg)
    return sum(p.numel() for p in runner.model.parameters())


@MODELS.register_module(force=True)
class ToyTower(nn.Module):
    """Half of a vision-language model; like the real ones, in no checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, WIDTH)
        self.register_state_dict_post_hook(self._leave_out)

    @staticmethod
    def _leave_out(module, state_dict, prefix, local_metadata):
        for name in [name for name in state_dict if name.startswith(prefix)]:
            del state_dict[name]

    def encode_image(self, img):
        return self.net(img.mean((2, 3)))


def test_fsdp_with_teacher_start_and_recomputation(tmp_path):
    start = MODELS.build(config(tmp_path, 4).model)
    torch.save(dict(state_dict=start.state_dict(), meta={}), tmp_path / 'start.pth')
    held = run_distributed(_with_teacher, 2, (tmp_path,))
    total = sum(p.numel() for p in start.parameters())
    scalars, tower = 5, 4 * WIDTH
    padding = 64
    assert sum(held) <= total + scalars + 2 * tower + padding, 'every process holds half'
    state = read(tmp_path / 'epoch_1.pth')['state_dict']
    assert set(state) == set(start.state_dict())
    assert all(value.dtype == torch.float32 for value in state.values())
    assert all(np.isfinite(entry['loss']) for entry in losses(tmp_path).values())


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(state_dict_cfg='local'), ValueError, 'always whole'),
        (dict(activation_checkpointing=dict(check_fn='f')), ValueError, 'ActivationCheckpointHook'),
        (dict(model_wrapper=dict(sharding_strategy='NO_SHARD')), ValueError, 'DDPStrategy'),
    ],
)
def test_refused_options(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        STRATEGIES.build(dict(type='FSDPStrategy', work_dir=str(tmp_path), **options))


def _unknown_blocks(rank, world_size, work_dir):
    cfg = config(work_dir, 4, **sharded())
    cfg.launcher, cfg.strategy.blocks = 'pytorch', ('point_encoder.layers',)
    with pytest.raises(ValueError, match='point_encoder.layers'):
        train_tool.run(cfg)
    return True


def test_unknown_blocks(tmp_path):
    assert all(run_distributed(_unknown_blocks, 2, (tmp_path,)))


def test_strategy_needs_its_runner(tmp_path):
    cfg = config(tmp_path, 4, strategy=dict(type='FSDPStrategy'))
    cfg.launcher = 'none'
    with pytest.raises(ValueError, match='FlexibleRunner'):
        train_tool.run(cfg)


@pytest.mark.skipif(find_spec('deepspeed') is not None, reason='DeepSpeed is installed')
def test_missing_deepspeed_is_named_first(tmp_path):
    cfg = prepare_runtime(ROOT / 'configs/_base_/strategies/deepspeed_zero1.py')
    with pytest.raises(ImportError, match='pip install deepspeed'):
        STRATEGIES.build(dict(cfg.strategy, work_dir=str(tmp_path / 'work')))
    assert not (tmp_path / 'work').exists()


@pytest.fixture(scope='module', params=[1, 2], ids=['zero1', 'zero2'])
def zero(request, one, tmp_path_factory) -> tuple[Path, dict]:
    """The same three epochs under DeepSpeed, and what it was told."""
    if find_spec('deepspeed') is None:
        pytest.skip('DeepSpeed is not installed')
    os.environ.setdefault('DS_ACCELERATOR', 'cpu')
    cfg = prepare_runtime(ROOT / f'configs/_base_/strategies/deepspeed_zero{request.param}.py')
    more = dict(runner_type=cfg.runner_type, strategy=cfg.strategy.to_dict())
    work_dir = tmp_path_factory.mktemp('zero')
    assert run_distributed(train, 2, (work_dir, 4, more)) == [6, 6]
    return work_dir, more


def test_deepspeed_equals_one_process(zero, tmp_path):
    work_dir, _ = zero
    train(0, 1, tmp_path, 8, {})
    expected, actual = losses(tmp_path), losses(work_dir)
    assert len(expected) == len(actual) == 6
    for step, entry in expected.items():
        np.testing.assert_allclose(actual[step]['grad_norm'], entry['grad_norm'], rtol=1e-3)
        np.testing.assert_allclose(actual[step]['logit_scale'], entry['logit_scale'], rtol=1e-4)
    # the tools read the weights out of DeepSpeed's folder
    ours, theirs = (read_checkpoint(d / 'epoch_3.pth') for d in (work_dir, tmp_path))
    assert ours['meta']['mm3dpretrain'] == theirs['meta']['mm3dpretrain']
    assert set(ours['state_dict']) == set(theirs['state_dict'])
    for name, value in theirs['state_dict'].items():
        torch.testing.assert_close(ours['state_dict'][name], value, msg=name, **CLOSE)


def test_deepspeed_resumes(zero, tmp_path):
    work_dir, more = zero
    assert run_distributed(train, 2, (tmp_path, 4, more, work_dir / 'epoch_2.pth')) == [6, 6]
    assert set(losses(tmp_path)) == {5, 6}
    whole, resumed = (
        read_checkpoint(d / 'epoch_3.pth')['state_dict'] for d in (work_dir, tmp_path)
    )
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_deepspeed_settings():
    """What the wrapper of a config asks for becomes DeepSpeed's."""
    cfg = prepare_runtime(
        ROOT / 'configs/mrd/mrd_uni3d-base-deepspeed_24xb48-200e_openshape-ensembled.py',
        dict(optim_wrapper=dict(accumulative_counts=2)),
    )
    assert deepspeed_settings(cfg.optim_wrapper) == dict(
        gradient_accumulation_steps=2,
        gradient_clipping=5.0,
        torch_autocast=dict(enabled=True, dtype='bfloat16'),
    )
    assert cfg.strategy.zero_optimization.stage == 1
    plain = dict(optimizer=dict(type='AdamW'))
    assert deepspeed_settings(plain) == dict(gradient_accumulation_steps=1)
    for bad in (dict(constructor='X'), dict(plain, clip_grad=dict(type='value', clip_value=1))):
        with pytest.raises(ValueError, match='DeepSpeed'):
            deepspeed_settings(bad)


def test_bfloat16_loss_is_close():
    """The encoder computes in half precision, the losses in float32."""
    torch.manual_seed(0)
    model = MODELS.build(config('unused', 4).model).eval()
    samples = [FixedTriplets()[index]['inputs'] for index in range(8)]
    inputs = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    expected, _ = model.parse_losses(model.loss(inputs))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outputs = model.loss(inputs)
        actual, _ = model.parse_losses(outputs)
    assert all(v.dtype == torch.float32 for name, v in outputs.items() if 'loss' in name)
    torch.testing.assert_close(actual, expected, rtol=0.02, atol=0.0)
    assert not torch.equal(actual, expected)
