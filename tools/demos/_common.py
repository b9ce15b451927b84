"""What the demos share: steps with their times, training, figures."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint

from mm3dpretrain.apis.features import isolated_rng
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.registry import HOOKS, METRICS
from mm3dpretrain.utils import prepare_runtime

ROOT = Path(__file__).resolve().parents[2]


class Steps:
    """Prints numbered steps and remembers how long each took."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, text: str) -> Iterator[None]:
        """Run one step under the title ``text``; its time is kept under ``name``."""
        print(f'\n[{len(self.seconds) + 1}/{self.total}] {text}', flush=True)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
        print(f'    done in {self.seconds[name]:.0f} s', flush=True)


@HOOKS.register_module()
class ProgressLineHook(Hook):
    """One line that tells how far a training is, its loss and the time left."""

    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        """Remember where and when this run started."""
        self.start, self.first, self.shown = time.perf_counter(), runner.iter, 0.0

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Renew the line: every second on a terminal, every 20 seconds in a file."""
        now, done = time.perf_counter(), runner.iter + 1
        last = done == runner.max_iters
        pause = 1 if sys.stdout.isatty() else 20
        if now - self.shown < pause and not last:
            return
        self.shown = now
        left = (now - self.start) / (done - self.first) * (runner.max_iters - done)
        line = (
            f'    iteration {done}/{runner.max_iters}  epoch {runner.epoch + 1}/'
            f'{runner.max_epochs}  loss {outputs["loss"].item():.3f}  {left:.0f} s left'
        )
        end = '\r' if sys.stdout.isatty() and not last else '\n'
        print(f'{line:<76}', end=end, flush=True)


def write_json(path: Path, value: dict) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + '\n')


def train(
    config: str | Path | Config, work_dir: Path, options: dict, fresh: bool, scale: float = 1.0
) -> Path:
    """Train a config, or continue the run that ``work_dir`` holds; returns the last checkpoint.

    Args:
        config: file below ``configs/``, or a config.
        work_dir: of this run.
        options: values that replace those of the file.
        fresh: remove a former run first.
        scale: factor on the number of epochs; schedules shrink with it.
    """
    if isinstance(config, Config):
        cfg = prepare_runtime(config.copy(), options)
    else:
        cfg = prepare_runtime(ROOT / 'configs' / config, options)
    if scale != 1.0:
        scale_epochs(cfg, scale)
    cfg.work_dir = str(work_dir)
    wanted = cfg.pretty_text
    stored = work_dir / 'demo_config.py'
    if work_dir.is_dir() and (fresh or not stored.is_file() or stored.read_text() != wanted):
        shutil.rmtree(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    with atomic_path(stored) as temporary:
        temporary.write_text(wanted)
    latest = find_latest_checkpoint(str(work_dir))
    if (
        latest
        and torch.load(latest, weights_only=True)['meta']['epoch'] >= cfg.train_cfg.max_epochs
    ):
        print(f'    already trained: {latest} (--fresh trains again)')
        return Path(latest)
    cfg.resume, cfg.load_from = latest is not None, latest
    # one line on the screen; the log file and scalars.json hold the rest
    cfg.custom_hooks = [
        *(cfg.get('custom_hooks') or []),
        dict(type='mm3dpretrain.ProgressLineHook'),
    ]
    cfg.log_level = 'ERROR'
    # by default the second that a run starts in: two short runs would share one logger
    cfg.experiment_name = f'{work_dir.name}_{time.time_ns()}'
    if 'name' in cfg.get('visualizer', {}):
        # mmdet3d gives it one: the second run would write its losses into the folder of the first
        cfg.visualizer.name = cfg.experiment_name
    start = time.perf_counter()
    Runner.from_cfg(cfg).train()
    spent = time.perf_counter() - start + training_seconds(work_dir)
    write_json(work_dir / 'seconds.json', {'seconds': spent})
    return Path(find_latest_checkpoint(str(work_dir)))


@torch.no_grad()
def judge(model: torch.nn.Module, cfg: Config, evaluators: Sequence[dict]) -> list[dict]:
    """Figures of each of some metrics on the test data of a config, from one pass over them."""
    metrics = [METRICS.build(evaluator) for evaluator in evaluators]
    with isolated_rng(0):
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        for metric in metrics:
            metric.dataset_meta = loader.dataset.metainfo
        for batch in loader:
            predictions = model.predict(**model.data_preprocessor(batch))
            for metric in metrics:
                metric.process(batch, predictions)
    figures = [metric.evaluate(len(loader.dataset)) for metric in metrics]
    return [{key.split('/')[-1]: float(v) for key, v in one.items()} for one in figures]


def training_seconds(work_dir: Path) -> float:
    """What the training in ``work_dir`` took, all continuations together; 0 if not known."""
    path = work_dir / 'seconds.json'
    return json.loads(path.read_text())['seconds'] if path.is_file() else 0.0


def scale_epochs(cfg: Config, scale: float) -> None:
    """Multiply the length of a run and of its schedules, in place."""
    epochs = max(1, round(cfg.train_cfg.max_epochs * scale))
    factor = epochs / cfg.train_cfg.max_epochs
    schedules = cfg.param_scheduler
    if isinstance(schedules, dict) and 'type' not in schedules:  # one list for each optimiser
        cfg.param_scheduler = {
            name: _scale_schedules(entry, factor, epochs) for name, entry in schedules.items()
        }
    else:
        cfg.param_scheduler = _scale_schedules(schedules, factor, epochs)
    cfg.train_cfg.max_epochs = epochs


def _scale_schedules(schedules: dict | list[dict], factor: float, epochs: int) -> list[dict]:
    schedules = [schedules] if isinstance(schedules, dict) else schedules
    # copies: optimisers may share the entries of their schedules
    schedules = [
        {
            key: value * factor if key in ('begin', 'end', 'T_max') else value
            for key, value in s.items()
        }
        for s in schedules
    ]
    # a warm-up that ends inside the first epoch cannot be counted in epochs
    return [
        dict(s, begin=int(s.get('begin', 0)), end=max(1, round(s.get('end', epochs))))
        for s in schedules
        if s.get('end', epochs) >= 1
    ]


def data_time_share(entries: list[dict]) -> float:
    """Share of the training time that was spent waiting for data.

    Args:
        entries: what ``mm3dpretrain.visualization.read_scalars`` returns. The first ones are not
            counted: workers start during these iterations.
    """
    entries = [e for e in entries if 'data_time' in e]
    steady = entries[2:] or entries
    return sum(e['data_time'] for e in steady) / sum(e['time'] for e in steady)
