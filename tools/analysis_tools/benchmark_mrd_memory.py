"""Memory and time of MRD's losses at a large batch, and the price of cached embeddings.

`losses` gives, for every loss alone and for all together, the time of forward and backward pass and
the growth of the peak memory beyond what is there before: embeddings of three modalities and the
gradient of one. Each is measured in a process of its own, on the CPU as the peak of the resident
memory, on CUDA as the peak of the allocator. `--naive` adds relations without chunks.

`step` trains a small encoder on shapes whose embeddings come from a cache on the disk, and on the
same shapes with random embeddings made on the spot, in turns: what a run without any teacher does.

Examples::

    python tools/analysis_tools/benchmark_mrd_memory.py losses
    python tools/analysis_tools/benchmark_mrd_memory.py losses --batch 16384 --device cuda
    python tools/analysis_tools/benchmark_mrd_memory.py step --shapes 1024
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from torch import Tensor

MIB = 2**20
RELATION = dict(
    relation=dict(type='NormalizedSimilarity', temperature=0.07),
    divergence=dict(type='JeffreyDivergence'),
    center=True,
)
LOSSES = {
    'alignment': [dict(type='MultiModalAlignmentLoss')],
    'intra': [dict(type='IntraRelationLoss', **RELATION)],
    'cross': [dict(type='CrossRelationLoss', **RELATION)],
}
LOSSES['relations'] = [*LOSSES['intra'], *LOSSES['cross']]
LOSSES['all'] = [*LOSSES['alignment'], *LOSSES['relations']]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=('losses', 'step'))
    parser.add_argument('--only', nargs='+', choices=LOSSES, default=list(LOSSES))
    parser.add_argument('--batch', type=int, help='samples; default 8192 (losses), 32 (step)')
    parser.add_argument('--dim', type=int, default=1280, help='width of the embeddings (1280)')
    parser.add_argument('--naive', action='store_true', help='also relations without chunks')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads')
    parser.add_argument('--shapes', type=int, default=512, help='shapes in the cache of `step`')
    parser.add_argument('--points', type=int, default=512, help='points of a shape of `step`')
    parser.add_argument('--views', type=int, default=12, help='image embeddings of a shape')
    parser.add_argument('--rounds', type=int, default=5, help='turns of each side of `step`')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    args = parser.parse_args(argv)
    if args.batch is None:
        args.batch = 8192 if args.what == 'losses' else 32
    for name in ('batch', 'dim', 'threads', 'shapes', 'points', 'views', 'rounds'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be at least 1')
    if args.what == 'step' and args.shapes < args.batch:
        parser.error('--shapes must be at least --batch')
    return args


# ---------------------------------------------------------------- the losses


def peak_memory(device: torch.device) -> int:
    """Bytes at the highest point so far: of the process on the CPU, of the allocator on CUDA."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    # not ru_maxrss: it begins with the peak of the process that started this one
    lines = Path('/proc/self/status').read_text().splitlines()
    return int(next(line for line in lines if line.startswith('VmHWM')).split()[1]) * 1024


def held_memory(device: torch.device) -> int:
    """Bytes that are in use now."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize()


def embeddings(batch: int, dim: int, device: torch.device) -> tuple[Tensor, dict[str, Tensor]]:
    """Unit features of shapes, which need a gradient, and of two teachers, all in float32."""
    generator = torch.Generator().manual_seed(0)
    features = [
        torch.nn.functional.normalize(torch.randn(batch, dim, generator=generator), dim=1)
        for _ in range(3)
    ]
    points, image, text = (x.to(device) for x in features)
    return points.requires_grad_(), dict(image=image, text=text)


def total(losses, points: Tensor, teachers: dict[str, Tensor]) -> Tensor:
    """Sum of all terms."""
    terms = []
    for loss in losses:
        found = loss(points, teachers, {})
        # the alignment also reports figures
        terms += [v for name, v in found.items() if not hasattr(loss, 'scale') or 'loss' in name]
    return sum(terms)


def measure(connection, configs: list[dict], batch: int, dim: int, device: str, threads: int):
    """In a fresh process: (seconds, bytes) of forward and backward pass of some losses."""
    from mmengine.registry import init_default_scope

    from mm3dpretrain.registry import MODELS

    init_default_scope('mm3dpretrain')
    torch.set_num_threads(threads)
    device = torch.device(device)
    losses = [MODELS.build(dict(config)).to(device).train() for config in configs]
    # libraries load, and kernels are chosen, before anything is counted
    points, teachers = embeddings(64, dim, device)
    total(losses, points, teachers).backward()
    points, teachers = embeddings(batch, dim, device)
    points.grad = torch.zeros_like(points)
    before = held_memory(device)
    start = time.perf_counter()
    total(losses, points, teachers).backward()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    connection.send((seconds, max(peak_memory(device) - before, 0)))


def in_process(*args) -> tuple[float, int]:
    """What :func:`measure` finds in a process of its own.

    Raises:
        RuntimeError: if that process died, most likely for lack of memory.
    """
    context = multiprocessing.get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(sender, *args))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f'the measuring process ended with {process.exitcode}: is there enough memory?'
        ) from None
    finally:
        process.join()


def benchmark_losses(args: argparse.Namespace) -> list[dict]:
    """One row a loss."""
    cases = {name: LOSSES[name] for name in args.only}
    if args.naive:
        cases['relations, no chunks'] = [
            dict(config, chunk_size=args.batch) for config in LOSSES['relations']
        ]
    rows = []
    matrix = args.batch**2 * 4
    print(f'batch {args.batch}, width {args.dim}: a matrix of all pairs is {matrix / MIB:.0f} MiB')
    for name, configs in cases.items():
        seconds, extra = in_process(configs, args.batch, args.dim, args.device, args.threads)
        print(f'{name:<22} {seconds:7.2f} s   + {extra / MIB:7.0f} MiB', flush=True)
        rows.append(dict(loss=name, seconds=seconds, extra_mib=extra / MIB))
    return rows


# ---------------------------------------------------------------- a training step


class Shapes(torch.utils.data.Dataset):
    """Clouds in memory; their embeddings from a cache, or random ones made on the spot."""

    def __init__(self, args: argparse.Namespace, cache: str | None) -> None:
        from mm3dpretrain.datasets.transforms import LoadEmbeddings, PickEmbeddings

        generator = np.random.default_rng(0)
        shape = (args.shapes, args.points, 3)
        places = generator.uniform(-0.5, 0.5, shape)
        self.points = np.concatenate([places, generator.random(shape)], 2).astype(np.float32)
        self.dim = args.dim
        self.steps = [LoadEmbeddings(cache), PickEmbeddings()] if cache else []

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict:
        sample = dict(sample_id=str(index), caption=[f'shape {index}'])
        if self.steps:
            for step in self.steps:
                sample = step(sample)
        else:
            for name in ('image_embeds', 'text_embeds'):
                sample[name] = np.random.standard_normal(self.dim).astype(np.float32)
            sample.update(has_image=np.float32(1), has_text=np.float32(1))
        names = ('image_embeds', 'text_embeds', 'has_image', 'has_text')
        return dict(points=self.points[index], **{name: sample[name] for name in names})


def write_cache(args: argparse.Namespace, folder: str) -> None:
    """Random embeddings in the layout of tools/precompute_embeddings.py."""
    from mm3dpretrain.datasets.embedding_cache import EmbeddingWriter

    part = dict(key='random', identity='random')
    writer = EmbeddingWriter(folder, dict(embed_dim=args.dim, image=part, text=part))
    generator = np.random.default_rng(1)
    for index in range(args.shapes):
        image = generator.standard_normal((args.views, args.dim))
        text = generator.standard_normal((1, args.dim))
        writer.add(str(index), image, text, [f'shape {index}'])
    writer.flush()


def benchmark_step(args: argparse.Namespace) -> list[dict]:
    """Samples a second of both sides; one loader process feeds the training process."""
    from mmengine.config import Config
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope

    from mm3dpretrain.registry import MODELS

    init_default_scope('mm3dpretrain')
    torch.set_num_threads(args.threads)
    root = Path(__file__).resolve().parents[2]
    cfg = Config.fromfile(root / 'configs/_base_/models/mrd_ppat-tiny.py').model
    model = MODELS.build(Config(dict(cfg, embed_dim=args.dim))._cfg_dict).to(args.device).train()
    optim = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=1e-3)))
    with tempfile.TemporaryDirectory() as folder:
        write_cache(args, folder)
        loaders = {
            name: torch.utils.data.DataLoader(
                Shapes(args, cache), args.batch, shuffle=True, drop_last=True, num_workers=1,
                persistent_workers=True,
            )
            for name, cache in (('cache', folder), ('no teacher', None))
        }  # fmt: skip
        speeds: dict[str, list[float]] = {name: [] for name in loaders}
        for turn in range(args.rounds + 1):
            for name, loader in loaders.items():
                start = time.perf_counter()
                for batch in loader:
                    model.train_step(dict(inputs=batch, data_samples=None), optim)
                if turn:  # the first one starts processes and chooses kernels
                    count = len(loader) * args.batch
                    speeds[name].append(count / (time.perf_counter() - start))
    rows = []
    for name, values in speeds.items():
        rows.append(dict(side=name, samples_per_second=statistics.median(values), rounds=values))
        print(f'{name:<12} {rows[-1]["samples_per_second"]:8.1f} samples/s')
    ratios = [a / b for a, b in zip(*speeds.values())]
    print(f'cache / no teacher, median of {args.rounds} turns: {statistics.median(ratios):.3f}')
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    args = parse_args(argv)
    if args.device != 'cpu' and not torch.cuda.is_available():
        print(f'error: --device {args.device}: there is no GPU here', file=sys.stderr)
        return 1
    try:
        rows = benchmark_losses(args) if args.what == 'losses' else benchmark_step(args)
    except RuntimeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps(dict(vars(args), json=None, rows=rows), indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
