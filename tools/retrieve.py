"""Find shapes by text, picture or shape.

    python tools/retrieve.py index epoch_20.pth my_meshes/ --out shapes.npz
    python tools/retrieve.py index epoch_20.pth configs/_base_/datasets/shapes69_cls.py \\
        --out shapes69.npz
    python tools/retrieve.py query shapes.npz --query 'a red chair' --out sheet.png \\
        --text configs/_base_/text_spaces/clip_vit-b-32.py
    python tools/retrieve.py query shapes.npz --image photo.jpg --text CONFIG
    python tools/retrieve.py query shapes.npz --shape chair.obj --checkpoint epoch_20.pth

`index` embeds all mesh and cloud files below a folder, or a data set of a config. `query` lists the
most similar shapes, and draws them with --out (PNG) and --html (a page on which they turn).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2

from mm3dpretrain.apis import Retriever, ShapeIndex, read_index, write_index
from mm3dpretrain.datasets.io import atomic_path, read_image
from mm3dpretrain.datasets.mesh_io import Mesh
from mm3dpretrain.datasets.transforms import LoadPoints
from mm3dpretrain.registry import DATASETS
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import (
    TurnableItem,
    draw_retrieval_sheet,
    mesh_item,
    read_shape,
    shape_picture,
)
from tools.visualization import _common as common
from tools.zero_shot import add_model_options, add_text_options, open_text_space, tell_axis


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)

    index = commands.add_parser('index', help='embed many shapes once')
    index.add_argument('checkpoint', help='written by an MRD training')
    index.add_argument('shapes', help='a folder of mesh or cloud files, or a config with data')
    index.add_argument('--out', required=True, metavar='NPZ', help='the index')
    index.add_argument(
        '--dataset', metavar='KEY', help='which data set of the config (default: the first of '
        + ', '.join(common.DATASET_KEYS) + ')',
    )  # fmt: skip
    index.add_argument('--num-workers', type=int, default=0, help='loader processes, for a config')
    add_model_options(index)

    query = commands.add_parser('query', help='search an index')
    query.add_argument('index', help='.npz of the index command')
    what = query.add_mutually_exclusive_group(required=True)
    what.add_argument('--query', metavar='TEXT', help='what to look for')
    what.add_argument('--image', metavar='FILE', help='a picture of it')
    what.add_argument('--shape', metavar='FILE', help='a mesh or cloud like it')
    query.add_argument(
        '--text', metavar='CONFIG',
        help='text space, see configs/_base_/text_spaces; for --query and --image',
    )  # fmt: skip
    add_text_options(query)
    query.add_argument('--checkpoint', help='the model of the index; for --shape')
    add_model_options(query)
    query.add_argument('--topk', type=int, default=5, help='shapes to list (default: %(default)s)')
    query.add_argument('--json', type=Path, metavar='FILE', help='write the list here as well')
    query.add_argument('--out', type=Path, metavar='PNG', help='draw the shapes that were found')
    query.add_argument('--html', type=Path, help='a page on which they can be turned')
    query.add_argument('--size', type=int, default=192, help='of a picture (default: %(default)s)')
    query.set_defaults(max_points=20_000)

    args = parser.parse_args(argv)
    if args.command == 'index' and not args.out.endswith('.npz'):
        parser.error(f'--out {args.out}: indices are .npz files')
    if args.command == 'query':
        if args.shape and not args.checkpoint:
            parser.error('--shape needs --checkpoint')
        if not args.shape and not args.text:
            parser.error('--query and --image need --text')
        if args.html and not args.out:
            parser.error('--html needs --out')
        if args.topk < 1 or args.size < 16:
            parser.error('need --topk >= 1 and --size >= 16')
        if args.out and not cv2.haveImageWriter(str(args.out)):
            parser.error(f'{args.out}: unknown picture format, take .png or .jpg')
    return args


# --------------------------------------------------------------------------- index


def make_index(args: argparse.Namespace) -> None:
    """Embed all shapes and write the index."""
    retriever = Retriever(
        args.checkpoint, config=args.config, num_points=args.num_points, device=args.device
    )
    if Path(args.shapes).is_dir():
        found = retriever.index(args.shapes, args.up_axis)
        tell_axis(args.up_axis or retriever.encoder.gravity_axis)
    else:
        config = common.dataset_config(prepare_runtime(args.shapes), args.dataset, args.shapes)
        found = retriever.index(config, args.up_axis, args.num_workers)
        # where the pictures of a query come from
        origin = dict(config=args.shapes, dataset_key=args.dataset)
        found = dataclasses.replace(found, meta={**found.meta, **origin})
    write_index(args.out, found)
    skipped = found.meta['skipped']
    print(
        f'{args.out}: {len(found.ids)} shapes, {found.embeddings.shape[1]} dimensions'
        + (f'; {skipped} broken files were left out' if skipped else '')
    )


# --------------------------------------------------------------------------- query


def search(args: argparse.Namespace) -> None:
    """List what was found, and draw it."""
    index = read_index(args.index)
    space, prompts = None, 'plain'
    if args.text:
        # a query is a phrase of its own, not the name of a class
        space, _ = open_text_space(args)
        prompts = args.prompts or 'plain'
    options = {}
    if args.checkpoint:
        options = dict(config=args.config, num_points=args.num_points, device=args.device)
    retriever = Retriever(args.checkpoint, space, **options)
    found = retriever.query(
        index, args.query, args.image, args.shape, args.topk, prompts, args.up_axis
    )
    for name, cosine in found:
        print(f'{cosine:.3f}  {name}')
    if args.json:
        content = [dict(id=name, cosine=cosine) for name, cosine in found]
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + '\n')
    if args.out:
        draw(args, index, found)


def draw(args: argparse.Namespace, index: ShapeIndex, found: list[tuple[str, float]]) -> None:
    """Write the sheet and the page."""
    shape_of = opener(index)
    shapes = [shape_of(name) for name, _ in found]
    # the end of a name tells more than its folders, and there is little room
    captions = [f'{cosine:.2f} {Path(name).name}' for name, cosine in found]
    pictures = [
        shape_picture(shape, args.size, colors, up_axis) for shape, colors, up_axis in shapes
    ]
    query = args.query
    if args.image:
        query = read_image(args.image)
    elif args.shape:
        query = shape_picture(args.shape, args.size, up_axis=args.up_axis or axis_of(index.meta))
    sheet = draw_retrieval_sheet([query], [pictures], [captions], columns=args.topk)

    def items() -> list[TurnableItem]:
        return [
            mesh_item(caption, shape, up_axis)
            if isinstance(shape, Mesh)
            else TurnableItem(caption, shape[:, :3], colors, up_axis=up_axis)
            for caption, (shape, colors, up_axis) in zip(captions, shapes)
        ]

    title = args.query or args.image or args.shape
    common.write_outputs(args, sheet, items, f'Shapes like {title}')


def opener(index: ShapeIndex) -> Callable:
    """A function from a name of the index to mesh or cloud, its colours, and the axis upwards."""
    if 'folder' in index.meta:
        folder, axis = Path(index.meta['folder']), axis_of(index.meta)
        return lambda name: (*read_shape(folder / name), axis)
    if 'config' not in index.meta:
        raise ValueError('this index does not say where its shapes lie: leave --out away')
    source = index.meta['config']
    config = common.dataset_config(prepare_runtime(source), index.meta['dataset_key'], source)
    dataset = DATASETS.build(dict(config))
    records = {str(common.record_of(dataset, i)['sample_id']): i for i in range(len(dataset))}

    def open_record(name: str) -> tuple:
        record = common.record_of(dataset, records[name])
        axis = axis_of(record)
        mesh = common.mesh_of(dataset, record)
        if mesh is not None:
            return mesh, None, axis
        return LoadPoints()(record)['points'], None, axis

    return open_record


def axis_of(record: dict) -> str:
    """The axis to draw upwards."""
    axis = record.get('up_axis') or record.get('gravity_axis')
    return axis if axis in ('x', 'y', 'z') else 'y'


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: make_index(args) if args.command == 'index' else search(args))


if __name__ == '__main__':
    sys.exit(main())
