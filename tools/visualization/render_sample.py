"""Draw samples of a data set, or mesh and point files: points, mesh, depth and stored views.

The data are shown as they are on disk, before any augmentation (browse_dataset.py shows them
after it), moved and scaled into the unit sphere for the picture.

Examples::

    python tools/visualization/render_sample.py configs/_base_/datasets/cc0_shapes69_triplets.py
    python tools/visualization/render_sample.py configs/_base_/datasets/modelnet40_cls.py \\
        --index 0 17 2000 --html samples.html
    python tools/visualization/render_sample.py chair.off scan.ply cloud.npy --up-axis z
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import torch

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.io import read_image
from mm3dpretrain.datasets.mesh_io import MESH_SUFFIXES, Mesh, read_mesh
from mm3dpretrain.datasets.transforms.loading import LoadPoints, read_views
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import (
    TurnableItem,
    bounding_sphere,
    color_depth,
    contact_sheet,
    draw_mesh,
    draw_points,
    mesh_item,
    viewer,
)
from tools.visualization import _common as common

NUM_SAMPLED = 8192  # points of a mesh file
NUM_DRAWN = 4096  # dots in a picture: more only cover each other


@dataclass
class Sample:
    """One sample as it is on disk."""

    name: str
    up_axis: str
    points: np.ndarray | None = None
    colors: np.ndarray | None = None
    mesh: Mesh | None = None
    views: dict[str, np.ndarray] = field(default_factory=dict)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', nargs='+', help='a config with data, or mesh and point files')
    common.add_choice(parser, num=6)
    parser.add_argument('--views', type=int, default=3, help='stored views (default: %(default)s)')
    parser.set_defaults(out=Path('work_dirs/samples.png'))
    args = parser.parse_args(argv)
    common.check_choice(parser, args)
    if args.views < 0:
        parser.error(f'--views must not be negative, got {args.views}')
    return args


def read_samples(args: argparse.Namespace) -> tuple[list[Sample], list[str]]:
    """The asked samples, and one line for each that cannot be read."""
    errors: list[str] = []
    samples: list[Sample] = []
    if common.is_file_of_points(args.source[0]):
        readers = {path: partial(_of_file, path, args) for path in args.source}
    elif len(args.source) > 1:
        raise ValueError(f'one config, or only mesh and point files, not {args.source}')
    else:
        config = prepare_runtime(args.source[0])
        chosen = common.open_samples(
            common.dataset_config(config, args.dataset, args.source[0]), args
        )
        readers = {sample[0]: partial(_of_dataset, *sample, args) for sample in chosen}
    for key, read in readers.items():
        try:
            samples.append(read())
        except (SampleError, ValueError, OSError) as error:
            # errors of files begin with their name
            errors.append(str(error) if str(error).startswith(str(key)) else f'{key}: {error}')
    return samples, errors


def _of_file(path: str, args: argparse.Namespace) -> Sample:
    record = dict(points_path=path, mesh_points=NUM_SAMPLED, sample_id=Path(path).name)
    sample = Sample(Path(path).name, common.up_axis_of(args, record))
    if Path(path).suffix.lower() in MESH_SUFFIXES:
        mesh = read_mesh(path)
        sample.mesh = mesh if len(mesh.faces) else None
    sample.points, sample.colors = _points(record)
    return sample


def _of_dataset(number: int, dataset, index: int, args: argparse.Namespace) -> Sample:
    record = common.record_of(dataset, index)
    name = '  '.join([f'{number}', common.name_of(record), *record.get('caption', [])[:1]]).strip()
    sample = Sample(name, common.up_axis_of(args, record))
    if common.has_points(record):
        sample.points, sample.colors = _points(record)
        sample.mesh = common.mesh_of(dataset, record)
        sample.views = _views(record, args.views)
        return sample
    # another kind of record: what its own pipeline gives
    inputs = dataset[index]['inputs']
    if 'points' in inputs:
        sample.points = np.asarray(inputs['points'])[:, :3]
    if 'img' in inputs and args.views:
        pictures = np.asarray(inputs['img'])
        pictures = np.moveaxis(pictures[None] if pictures.ndim == 3 else pictures, 1, -1)
        sample.views = {f'view {i}': p for i, p in enumerate(pictures[: args.views])}
    return sample


def _points(record: Mapping) -> tuple[np.ndarray, np.ndarray | None]:
    """Points (N, 3), and their colours (N, 3) uint8 where they have some."""
    try:
        found = LoadPoints(['rgb'])(dict(record))['points']
        return found[:, :3], np.uint8(np.rint(255 * found[:, 3:6].clip(0, 1)))
    except SampleError:  # no colours; a broken file fails again
        return LoadPoints()(dict(record))['points'][:, :3], None


def _views(record: Mapping, num: int) -> dict[str, np.ndarray]:
    """Some stored pictures, evenly spread."""
    if 'views_path' in record:
        stack = read_views(record['views_path'], record['views_index'])
        total, read = len(stack), lambda i: np.array(stack[i])
    else:
        paths = record.get('img_paths', [])
        total, read = len(paths), lambda i: read_image(paths[i], (255, 255, 255))
    chosen = np.linspace(0, total, min(num, total), endpoint=False).astype(int)
    return {f'view {i}': read(i) for i in chosen.tolist()}


def _in_sphere(sample: Sample) -> Sample:
    """The sample in the unit sphere, points and mesh by the same motion."""
    corners = [] if sample.mesh is None else [sample.mesh.vertices[sample.mesh.faces.reshape(-1)]]
    clouds = corners + ([] if sample.points is None else [sample.points])
    if not clouds:
        return sample
    center, radius = bounding_sphere(np.concatenate(clouds))
    mesh = sample.mesh
    if mesh is not None:
        mesh = replace(mesh, vertices=(mesh.vertices - center) / radius)
    points = sample.points
    if points is not None:
        points = ((points - center) / radius).astype(np.float32)
    return replace(sample, points=points, mesh=mesh)


def draw_sample(sample: Sample, size: int) -> dict[str, np.ndarray]:
    """Panels (size, size, 3) of a sample, by the text of their column."""
    sample, axis = _in_sphere(sample), sample.up_axis
    panels = {}
    if sample.points is not None:
        step = -(-len(sample.points) // NUM_DRAWN)
        few = sample.points[::step]
        colors = None if sample.colors is None else sample.colors[::step]
        panels['points'] = draw_points(few, size, colors, 30.0, axis)
        panels['other side'] = draw_points(few, size, colors, 150.0, axis)
    if sample.mesh is not None:
        mesh = sample.mesh
        panels['mesh'] = draw_mesh(mesh.vertices, mesh.faces, size, mesh.appearance, up_axis=axis)
    if sample.mesh is not None or sample.points is not None:
        panels['depth'] = _depth(sample, size)
    for name, picture in sample.views.items():
        height, width = picture.shape[:2]
        factor = size / max(height, width)
        shape = (max(1, round(width * factor)), max(1, round(height * factor)))
        square = np.full((size, size, 3), 255, np.uint8)
        square[: shape[1], : shape[0]] = cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)
        panels[name] = square
    return panels


def _depth(sample: Sample, size: int) -> np.ndarray:
    """Depth from the viewer of the other panels: of the mesh, or of the points as discs."""
    camera = viewer(size, 30.0, sample.up_axis)
    if sample.mesh is not None:
        from mm3dpretrain.ops.rasterize import rasterize_mesh

        drawn = rasterize_mesh(sample.mesh.vertices, sample.mesh.faces, camera)
        return color_depth(drawn.depth[0], (drawn.face_index[0] >= 0).astype(np.float32))
    from mm3dpretrain.models.renderers import PointSplatRenderer

    renderer = PointSplatRenderer(radius=0.03, radius_unit='metre', near=0.5, far=5.0)
    output = renderer(torch.from_numpy(np.ascontiguousarray(sample.points))[None], camera)
    return color_depth(output.depth[0, 0].numpy(), output.mask[0, 0].numpy())


def draw(args: argparse.Namespace) -> None:
    """Read, draw, write; broken samples are named and fail the run after the others are drawn."""
    samples, errors = read_samples(args)
    rows, captions, shown = [], [], []
    for sample in samples:
        try:
            rows.append(draw_sample(sample, args.size))
        except ValueError as error:
            errors.append(f'{sample.name}: {error}')
            continue
        captions.append(sample.name)
        shown.append(sample)
    for error in errors:
        print(f'left out: {error}', file=sys.stderr)
    if not rows:
        raise ValueError('nothing could be drawn')
    columns = list(dict.fromkeys(name for row in rows for name in row))
    blank = np.full((args.size, args.size, 3), 255, np.uint8)
    sheet = contact_sheet(
        [[row.get(name, blank) for name in columns] for row in rows], columns, captions
    )

    def items() -> list[TurnableItem]:
        found = []
        for sample in shown:
            name, axis = sample.name, sample.up_axis
            if sample.points is not None:
                found.append(TurnableItem(name, sample.points, sample.colors, None, axis, name))
            if sample.mesh is not None:
                found.append(mesh_item(f'{name}: mesh', sample.mesh, axis, name))
        return found

    common.write_outputs(args, sheet, items, f'Samples of {", ".join(args.source)}')
    if errors:
        raise SampleError(f'{len(errors)} of {len(errors) + len(rows)} samples were left out')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: draw(args))


if __name__ == '__main__':
    sys.exit(main())
