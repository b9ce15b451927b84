"""Run the frozen teacher of a config once over all frames and keep its features.

    python tools/precompute_teacher_features.py configs/mvnet/X.py --out data/cache/teacher
    python tools/train.py configs/mvnet/X_cached-features.py

Every frame is one file in half precision, <out>/<scene>/<frame>.npz; the same command goes on where
it was stopped. The folder belongs to one teacher, one set of weights and one way to prepare the
pictures: another one is refused. The transform LoadTeacherFeatures(cache_dir=<out>) reads it behind
PackFrames; the teacher then does not run in the training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.config import DictAction

from mm3dpretrain.apis.features import build_dataset
from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.datasets.teacher_cache import feature_file, open_cache, write_features
from mm3dpretrain.datasets.worker_pool import Progress
from mm3dpretrain.registry import MODELS, TRANSFORMS
from mm3dpretrain.utils import prepare_runtime

# what decides on the pixels that the teacher gets
PICTURE_STEPS = ('LoadFrames', 'ResizeFrames')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of an MVNet with a teacher')
    parser.add_argument('--out', required=True, help='folder of the features, made if needed')
    parser.add_argument(
        '--splits', nargs='+', default=['train', 'test'], choices=['train', 'val', 'test'],
        help='data loaders of the config whose frames are wanted (train test)',
    )  # fmt: skip
    parser.add_argument('--batch-size', type=int, default=8, help='pictures at a time (8)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def frames_of(dataset) -> Iterator[tuple[str, str, dict]]:
    """(scene, frame, record of that frame alone) of all frames in the tuples of a data set."""
    met = set()
    for index in range(len(dataset)):
        record = dataset.get_data_info(index)
        for frame in record['frames']:
            name = (record['scene'], frame['frame_id'])
            if name not in met:
                met.add(name)
                yield *name, dict(record, frames=[frame])


def main(argv: list[str] | None = None) -> int:
    """Compute what is missing; 1 if a frame failed or nothing can be done."""
    args = parse_args(argv)
    try:
        if args.batch_size < 1:
            raise ValueError(f'--batch-size must be positive, got {args.batch_size}')
        cfg = prepare_runtime(args.config, args.cfg_options)
        if cfg.model.get('teacher') is None:
            raise ValueError(f'{args.config} has no teacher')
        return compute(cfg, args)
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here', file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


def compute(cfg, args: argparse.Namespace) -> int:
    """The features of all frames of the config; see :func:`main`."""
    teacher = MODELS.build(cfg.model.teacher).to(args.device)
    preprocessor = MODELS.build(cfg.model.data_preprocessor).to(args.device)
    teacher.check_normalization(preprocessor)
    todo, size, known = {}, None, 0
    for split in args.splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            raise ValueError(f'{args.config} has no {split}_dataloader')
        steps = [t for t in loader.dataset.pipeline if t['type'] in PICTURE_STEPS]
        for scene, frame, record in frames_of(build_dataset(dict(loader.dataset, pipeline=[]))):
            todo[scene, frame] = (record, steps)
    pipelines: dict[str, list] = {}
    batch, failed = [], []
    progress = Progress(len(todo))
    for done, ((scene, frame), (record, steps)) in enumerate(todo.items(), start=1):
        if str(steps) not in pipelines:
            pipelines[str(steps)] = [TRANSFORMS.build(step) for step in steps]
        path = feature_file(args.out, scene, frame)
        known += path.is_file()
        # the first picture tells the size, which the key of the cache depends on
        if size is None or not path.is_file():
            try:
                for step in pipelines[str(steps)]:
                    record = step(record)
                image = torch.from_numpy(record['img']).permute(0, 3, 1, 2)[0]
                if size is None:
                    size = tuple(image.shape[-2:])
                    key = teacher.key(preprocessor, size)
                    content = dict(key=key, image_size=size, teacher=teacher.describe())
                    open_cache(args.out, content)
                if tuple(image.shape[-2:]) != size:
                    raise SampleError(f'a picture of {tuple(image.shape[-2:])}, others of {size}')
                if not path.is_file():
                    batch.append((path, image))
            except (SampleError, OSError) as error:
                failed.append(path)
                print(f'\n{scene}/{frame} is left out: {error}', file=sys.stderr)
        if len(batch) == args.batch_size or (batch and done == len(todo)):
            store(teacher, preprocessor, batch, args.device)
            batch = []
        progress.update(done)
    new = len(todo) - known - len(failed)
    print(f'{args.out}: {new} frames computed, {known} were there, {len(failed)} left out')
    return 1 if failed or not todo else 0


def store(teacher, preprocessor, batch: list, device: str) -> None:
    """Features of pictures [(path, (3, H, W) uint8)]."""
    images = torch.stack([image for _, image in batch]).float().to(device)
    maps = [m.float().cpu().numpy() for m in teacher(preprocessor.normalize(images))]
    for (path, _), features in zip(batch, zip(*maps)):
        write_features(path, features)


if __name__ == '__main__':
    sys.exit(main())
