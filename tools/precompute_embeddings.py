"""Write image and text embeddings of a data set, or of class names, once.

    # a named CLIP, its config with teacher=dict(type='CLIPTeacher', model=..., weights=...)
    python tools/precompute_embeddings.py DATA_CONFIG --teacher TEACHER_CONFIG --out data/cache/clip
    # a CLIP that this toolbox trained
    python tools/precompute_embeddings.py DATA_CONFIG --teacher configs/mrd/clip-tiny_*.py \\
        --weights work_dirs/clip/epoch_30.pth --out data/cache/clip
    # class embeddings for zero-shot classification
    python tools/precompute_embeddings.py --teacher TEACHER_CONFIG --classes names.txt \\
        --prompts modelnet40_64 --out data/cache/classes.npz

A data set becomes shards of half precision that LoadEmbeddings(cache_dir=<out>) reads by sample id;
no CLIP is then needed in training. The same command goes on where it was stopped. The folder
belongs to one model, one set of weights and one way to prepare pictures: another one is refused.

The teacher's config has `teacher` (of pictures) and `text_space` (of texts; without one, the
teacher's own text tower), or is that of a CLIPPretrainer. Without --teacher, the config of the data
set names them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.config import Config, DictAction
from torch.utils.data import ConcatDataset

from mm3dpretrain.apis.embeddings import build_teachers, embed_dataset
from mm3dpretrain.apis.features import build_dataset
from mm3dpretrain.datasets.class_embeddings import write_class_embeddings
from mm3dpretrain.datasets.embedding_cache import TEXT_SOURCES
from mm3dpretrain.datasets.prompts import embed_classes
from mm3dpretrain.datasets.worker_pool import Progress
from mm3dpretrain.utils import prepare_runtime

WHITE = (255, 255, 255)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='?', help='config whose data loaders name the data set')
    parser.add_argument('--teacher', help='config of the teacher (the same config)')
    parser.add_argument('--weights', help="the teacher's weights, instead of the config's")
    parser.add_argument('--out', required=True, help='folder of the cache, or .npz of the classes')
    parser.add_argument(
        '--splits', nargs='+', default=['train', 'test'], choices=['train', 'val', 'test'],
        help='data loaders of the config whose samples are wanted (train test)',
    )  # fmt: skip
    parser.add_argument(
        '--texts', nargs='+', default=['caption'], choices=TEXT_SOURCES,
        help='where texts come from: the first of these that a sample has (caption)',
    )  # fmt: skip
    parser.add_argument('--classes', help='.txt with a name a line, or .json with a list of names')
    parser.add_argument('--prompts', default='plain', help='templates of --classes (plain)')
    parser.add_argument('--shard-size', type=int, default=1024, help='samples of a shard (1024)')
    parser.add_argument('--batch-size', type=int, default=64, help='pictures at a time (64)')
    parser.add_argument('--workers', type=int, default=0, help='processes that read pictures (0)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Compute what is missing; 1 if a sample failed or nothing can be done."""
    args = parse_args(argv)
    try:
        return run(args)
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here', file=sys.stderr)
        return 130
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


def run(args: argparse.Namespace) -> int:
    """See :func:`main`."""
    if (args.config is None) == (args.classes is None):
        raise ValueError('give either a config with a data set, or --classes')
    if args.teacher is None and args.config is None:
        raise ValueError('--classes needs --teacher')
    cfg = None if args.config is None else prepare_runtime(args.config, args.cfg_options)
    taught = cfg if args.teacher is None else prepare_runtime(args.teacher)
    teacher, space = build_teachers(taught, args.weights, args.device)
    if args.classes is not None:
        return write_classes(args, space)
    loaders = [cfg.get(f'{split}_dataloader') for split in args.splits]
    missing = [split for split, loader in zip(args.splits, loaders) if loader is None]
    if missing:
        raise ValueError(f'{args.config} has no data loader of {missing}: set --splits')
    dataset = ConcatDataset([build_dataset(loader.dataset) for loader in loaders])
    progress = Progress(len(dataset))
    report = embed_dataset(
        dataset,
        args.out,
        teacher,
        space,
        args.texts,
        background_of(loaders[0].dataset),
        args.shard_size,
        args.batch_size,
        args.workers,
        lambda done, todo: progress.update(len(dataset) - todo + done),
    )
    print(f'{args.out}: {report}')
    for name, reason in list(report.failed.items())[:20]:
        print(f'{name} is left out: {reason}', file=sys.stderr)
    if report.unknown_texts:
        print(f'unknown texts: {sorted(report.unknown_texts)[:20]}', file=sys.stderr)
    return 1 if report.failed else 0


def write_classes(args: argparse.Namespace, space) -> int:
    """Class embeddings of the names of ``--classes``."""
    if space is None:
        raise ValueError('this teacher has no text tower, and the config no text_space')
    value = embed_classes(space, read_names(args.classes), args.prompts)
    write_class_embeddings(args.out, value)
    count = value.meta['num_templates']
    print(f'{args.out}: {len(value.names)} classes, {count} template(s), dimension {value.dim}')
    return 0


def read_names(path: str) -> list[str]:
    """Class names of a text file (one a line) or a JSON list.

    Raises:
        ValueError: for a file without names, or another content.
    """
    text = Path(path).read_text()
    names = json.loads(text) if path.endswith('.json') else text.splitlines()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{path} must hold a list of names')
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise ValueError(f'{path} holds no class name')
    return names


def background_of(dataset: Config) -> tuple[int, ...] | None:
    """Colour behind transparent views, as the LoadView of the first pipeline has it."""
    while 'datasets' in dataset:
        dataset = dataset['datasets'][0]
    steps = [s for s in dataset.get('pipeline', ()) if s['type'] == 'LoadView']
    return steps[0].get('background', WHITE) if steps else WHITE


if __name__ == '__main__':
    sys.exit(main())
