"""What the tools that draw samples share: which samples, how they are read, what is written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.datasets.mesh_io import MESH_SUFFIXES, POINT_SUFFIXES, Mesh, read_mesh
from mm3dpretrain.registry import DATASETS, TRANSFORMS
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import TurnableItem, write_page

#: where a data set is looked for in a config; those without augmentation first
DATASET_KEYS = (
    'probe.test_dataset',
    'test_dataloader.dataset',
    'val_dataloader.dataset',
    'train_dataloader.dataset',
)
#: transforms that only read and normalise
STILL = ('LoadPoints', 'SamplePoints', 'NormalizePoints')
#: what a user can mend; shown as one line
USER_ERRORS = (SampleError, ValueError, OSError, RuntimeError, ImportError, KeyError)


def add_choice(parser: argparse.ArgumentParser, num: int) -> None:
    """The arguments that choose samples and outputs."""
    parser.add_argument(
        '--dataset',
        metavar='KEY',
        help='which data set of the config, such as train_dataloader.dataset (default: the first '
        'of ' + ', '.join(DATASET_KEYS) + ')',
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--index', type=int, nargs='+', help='numbers of the samples, from 0')
    chosen.add_argument(
        '--num', type=int, default=num, help='or so many, spread evenly (default: %(default)s)'
    )
    parser.add_argument('--out', type=Path, help='PNG to write (default: %(default)s)')
    parser.add_argument(
        '--html', type=Path, help='write a page with turnable views too; it needs no other file'
    )
    parser.add_argument('--size', type=int, default=192, help='side of a panel in pixels')
    parser.add_argument(
        '--up-axis', choices=('x', 'y', 'z'), help='upwards (default: what the data set says, or y)'
    )
    parser.add_argument(
        '--max-points', type=int, default=20_000, help='of one object on the page (%(default)s)'
    )


def check_choice(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse impossible numbers and pictures of an unknown kind."""
    if args.num < 1 or args.size < 16 or args.max_points < 1:
        parser.error('need --num >= 1, --size >= 16 and --max-points >= 1')
    if not cv2.haveImageWriter(str(args.out)):
        parser.error(f'{args.out}: unknown picture format, take .png or .jpg')


def run(main: Callable[[], None]) -> int:
    """Exit code of a tool; what the user can mend is one line instead of a traceback."""
    try:
        main()
    except USER_ERRORS as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def is_file_of_points(path: str) -> bool:
    """Whether a path names a cloud or a mesh, by its suffix."""
    return Path(path).suffix.lower() in (*MESH_SUFFIXES, *POINT_SUFFIXES)


def dataset_config(config: Config, key: str | None, source: str) -> dict:
    """The data set of a config.

    Raises:
        ValueError: if there is none at that key; the message names those that there are.
    """
    found = [k for k in DATASET_KEYS if _lookup(config, k) is not None]
    if key is None and found:
        key = found[0]
    value = _lookup(config, key) if key else None
    if not isinstance(value, Mapping) or 'type' not in value:
        raise ValueError(f'{source} has no data set {key or DATASET_KEYS}; it has {found}')
    return value


def _lookup(config: Config | Mapping, key: str):
    for part in key.split('.'):
        config = config.get(part) if isinstance(config, (Config, Mapping)) else None
    return config


def open_samples(config: Mapping, args: argparse.Namespace) -> list[tuple[int, object, int]]:
    """The asked samples of a data set: number, data set, and the number in that one.

    Some data sets unpack points and render views before they give anything. Data sets of shapes are
    therefore opened with just the asked samples.

    Raises:
        ValueError: for a data set without samples, or a number that does not exist.
    """
    leaves = list(config['datasets']) if _kind(config) == 'ConcatDataset' else [config]
    # (data set, or its config and the numbers that it keeps), number of samples
    opened, sizes = [], []
    for leaf in leaves:
        if isinstance(leaf, Mapping) and _is_shapes(leaf):
            probe = DATASETS.build(dict(leaf, lazy_init=True, expected_count=None))
            probe.data_list = probe.load_data_list()
            total, kept = len(probe.filter_data()), leaf.get('indices')
            kept = range(total) if kept is None else kept
            kept = list(range(kept) if isinstance(kept, int) else kept)
            opened.append((leaf, kept))
            sizes.append(len(kept))
        else:
            dataset = DATASETS.build(dict(leaf)) if isinstance(leaf, Mapping) else leaf
            opened.append((dataset, None))
            sizes.append(len(dataset))
    if not sum(sizes):
        raise ValueError(f'{_kind(config)} holds no samples')
    chosen = np.array(choose(sum(sizes), args))
    samples = []
    for (source, kept), start, size in zip(opened, np.cumsum(sizes) - sizes, sizes):
        numbers = chosen[(chosen >= start) & (chosen < start + size)]
        if kept is not None and len(numbers):
            wanted = [int(kept[number - start]) for number in numbers]
            source = DATASETS.build(dict(source, indices=wanted, expected_count=None))
            local = range(len(wanted))
        else:
            local = [int(number - start) for number in numbers]
        samples += [(int(number), source, index) for number, index in zip(numbers, local)]
    order = {number: place for place, number in enumerate(chosen.tolist())}
    return sorted(samples, key=lambda sample: order[sample[0]])


def _is_shapes(config: Mapping) -> bool:
    from mm3dpretrain.datasets.base_shape import BaseShapeDataset

    kind = DATASETS.get(config['type']) if isinstance(config['type'], str) else config['type']
    return isinstance(kind, type) and issubclass(kind, BaseShapeDataset)


def choose(total: int, args: argparse.Namespace) -> list[int]:
    """Numbers of the asked samples.

    Raises:
        ValueError: for a number that does not exist.
    """
    if args.index is None:
        return sorted(set(np.linspace(0, total - 1, min(args.num, total)).round().astype(int)))
    for index in args.index:
        if not 0 <= index < total:
            raise ValueError(f'--index {index}: there are {total} samples, 0 to {total - 1}')
    return args.index


def record_of(dataset, index: int) -> dict:
    """What a data set knows of a sample before anything is read, empty if it keeps no records."""
    return dict(dataset.get_data_info(int(index))) if hasattr(dataset, 'get_data_info') else {}


def has_points(record: Mapping) -> bool:
    """Whether a record is one of a shape, whose points ``LoadPoints`` reads."""
    return 'points' in record or 'points_path' in record


def name_of(record: Mapping) -> str:
    """What a sample is called: its id, or the name of its scan."""
    return str(record.get('sample_id') or Path(record.get('lidar_path', '')).stem)


def mesh_of(dataset, record: Mapping) -> Mesh | None:
    """The mesh of a record, in the frame of its points, where there is one with faces."""
    path = record.get('points_path', '')
    if 'mesh_points' in record and Path(path).suffix.lower() in MESH_SUFFIXES:
        mesh = read_mesh(path)
        return mesh if len(mesh.faces) else None
    if 'row' in record and 'meshes.npz' in getattr(dataset, 'FILES', ()):  # packed sets
        from mm3dpretrain.datasets.view_rendering import PackedMeshes

        return PackedMeshes(Path(dataset.data_root) / 'meshes.npz')[record['row']]
    return None


def up_axis_of(args: argparse.Namespace, record: Mapping) -> str:
    """The axis to draw upwards."""
    # scenes of mmdet3d stand in the frame of a LiDAR
    usual = 'z' if 'lidar_path' in record else 'y'
    axis = args.up_axis or record.get('gravity_axis', usual)
    return axis if axis in ('x', 'y', 'z') else 'y'


# --------------------------------------------------------------------------- for a model


def add_model(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a checkpoint and what it is fed."""
    parser.add_argument('checkpoint', help='written by a training')
    parser.add_argument('--config', help='of the model (default: the one in the checkpoint)')
    parser.add_argument(
        '--data',
        nargs='+',
        metavar='FILE',
        help='a config with data, or mesh and point files (default: the data of the training)',
    )
    parser.add_argument('--device', default='cpu', help='where to compute (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of masks and sampled points')


def load_model(args: argparse.Namespace):
    """The model of a checkpoint; missing files and weights that do not fit are errors."""
    from mm3dpretrain.apis import load_pretrained

    try:
        torch.empty(0, device=args.device)
    # torch asserts where it was built without CUDA
    except (AssertionError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'--device {args.device} cannot be used: {reason}') from error

    return load_pretrained(args.checkpoint, args.config, args.device)


def still_pipeline(pipeline: Sequence[Mapping]) -> list[dict]:
    """The steps of a training pipeline that read and normalise points, without augmentation."""
    steps = [dict(step) for step in pipeline if _kind(step) in STILL]
    if not any(_kind(step) == 'LoadPoints' for step in steps):
        raise ValueError(
            f'the pipeline reads no points of objects: it has {[_kind(s) for s in pipeline]}, '
            'LoadPoints is needed'
        )
    for step in steps:
        if _kind(step) == 'SamplePoints':
            step['method'] = 'fps'  # evenly spread, and the same each time
    return [*steps, dict(type='PackTriplets')]


def _kind(step: Mapping) -> str:
    return str(step['type']).split('.')[-1]


def _pipeline_of(config: Mapping) -> list:
    """The pipeline of a data set, or of the first one inside it."""
    inner = config.get('datasets') or config.get('dataset')
    if inner:
        return _pipeline_of(inner[0] if isinstance(inner, (list, tuple)) else inner)
    return config.get('pipeline', [])


def model_inputs(model, args: argparse.Namespace) -> tuple[torch.Tensor, list[dict]]:
    """Clouds as the model reads them, and what is known of them.

    Returns:
        (B, N, C) on the device, and for each ``sample_id``, ``up_axis`` and ``caption`` (list).

    Raises:
        ValueError, SampleError: for data that are not there, or clouds of different sizes.
    """
    train = dataset_config(model.cfg, 'train_dataloader.dataset', str(args.checkpoint))
    pipeline = Compose([TRANSFORMS.build(s) for s in still_pipeline(_pipeline_of(train))])
    records, infos = [], []
    if args.data and is_file_of_points(args.data[0]):
        for path in args.data:
            # the files' own points and colours, read as those of a data set of meshes
            records.append(dict(points_path=path, mesh_points=8192, seed=args.seed, sample_id=path))
    else:
        config, source = model.cfg, str(args.checkpoint)
        if args.data:
            if len(args.data) > 1:
                raise ValueError(f'--data takes one config, or point and mesh files: {args.data}')
            config, source = prepare_runtime(args.data[0]), args.data[0]
        samples = open_samples(dataset_config(config, args.dataset, source), args)
        records = [record_of(dataset, index) for _, dataset, index in samples]
    np.random.seed(args.seed)
    clouds = []
    for record in records:
        if not has_points(record):
            raise ValueError(
                'the data set has no shapes that can be read as in the training (its records have '
                f'{sorted(record)}): name one, or files, with --data'
            )
        info = dict(
            sample_id=name_of(record),
            up_axis=up_axis_of(args, record),
            caption=list(record.get('caption', [])),
        )
        try:
            clouds.append(pipeline(record)['inputs']['points'])
        except (ValueError, OSError) as error:
            raise SampleError(f'sample {info["sample_id"]}: {error}') from error
        infos.append(info)
    sizes = {tuple(cloud.shape) for cloud in clouds}
    if len(sizes) > 1:
        raise ValueError(
            f'the clouds have different sizes {sorted(sizes)}: the training pipeline has no '
            'SamplePoints, take one cloud at a time with --index'
        )
    return torch.stack(clouds).to(args.device), infos


def caption_of(info: Mapping) -> str:
    """A line of text about a sample."""
    return '  '.join([str(info['sample_id']), *info['caption'][:1]])


# --------------------------------------------------------------------------- output


def write_outputs(
    args: argparse.Namespace, sheet: np.ndarray, items: Callable[[], Sequence[TurnableItem]],
    title: str,
) -> None:  # fmt: skip
    """Write the PNG, and the page where one was asked for."""
    with atomic_path(args.out) as temporary:
        if not cv2.imwrite(str(temporary), sheet[..., ::-1]):
            raise OSError(f'{args.out}: the picture could not be written')
    print(f'{args.out}: {sheet.shape[1]} x {sheet.shape[0]} pixels')
    if args.html:
        write_page(items(), args.html, title, max_points=args.max_points)
        print(f'{args.html}: {args.html.stat().st_size / 1e6:.1f} MB, opens in any browser')
