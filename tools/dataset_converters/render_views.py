"""Turn a folder of meshes into a training set: pictures, depth, cameras and coloured points.

Example, ModelNet40 (its meshes are z up):
    python tools/dataset_converters/render_views.py data/ModelNet40 data/modelnet40_views \\
        --up-axis z --num-views 12
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mm3dpretrain.datasets.rendered_views import render_folder
from mm3dpretrain.datasets.view_files import write_text
from mm3dpretrain.datasets.view_settings import (
    DEFAULT_VIEWS,
    LAYOUTS,
    NORMALIZATIONS,
    Settings,
    find_view_set,
    view_sets,
)

EPILOG = """\
Input: IN/<class>/[train|val|test/]<name>.<suffix>, IN/<class>/<name>.<suffix> or IN/<name>.<suffix>
with .off .obj .ply .stl .glb .gltf files, coloured by faces, vertices, materials or textures.

Output, +y up:
  OUT/render_views.json                        all settings; scale and centre of every model
  OUT/taxonomy.json, failed.txt, warnings.txt  classes; one line for each problem
  layout shapenet (RenderedShapes and ShapeNet55 read it)
    OUT/ShapeNet55-34/shapenet_pc/<class>-<name>.npy, OUT/ShapeNet55-34/ShapeNet-55/{train,test}.txt
    OUT/shapenet_attributes/<class>-<name>.npz   normal, rgb of the points
    OUT/ShapeNetRendering/<class>/<name>/rendering/{00.png,00_depth.png,cameras.npz,...}
  layout rgbd (frames of a scan)
    OUT/rgbd/<class>-<name>/{color,depth,pose}/000000.*, intrinsic/, points.npz

A run that was stopped goes on where it was: give the same command. A folder that holds views of
other settings is refused. Files that fail are named in failed.txt; the next run tries them again.
Exit code: 0; 1 when a file failed or the arguments are impossible; 130 when stopped by Ctrl-C."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', metavar='IN', help='folder of the meshes')
    parser.add_argument('out', metavar='OUT', help='folder of the set, made if needed')
    parser.add_argument('--layout', choices=LAYOUTS, default='shapenet')
    parser.add_argument(
        '--up-axis', choices=('y', 'z'), default='y', help='of the input; ModelNet is z up'
    )
    parser.add_argument(
        '--normalize',
        choices=NORMALIZATIONS,
        default='unit-sphere',
        help='of points and cameras in the output; scale and centre are recorded',
    )
    views = parser.add_argument_group('views')
    views.add_argument(
        '--views',
        default=DEFAULT_VIEWS['type'],
        metavar='SET',
        help=f'one of {", ".join(view_sets())} (short: orbit, cube-corner, ...); default orbit',
    )
    views.add_argument('--num-views', type=int, help='default 12 for orbit, random and cap')
    views.add_argument(
        '--elevation',
        type=float,
        nargs='+',
        metavar='DEGREES',
        help='one orbit for each, default 10 40; for random views: lowest and highest',
    )
    views.add_argument(
        '--distance', type=float, help='from the origin, objects have radius 1; default 2.8'
    )
    views.add_argument('--projection', choices=('perspective', 'orthographic'))
    views.add_argument('--fov', type=float, help='angle of view in degrees, default 45')
    views.add_argument('--scale', type=float, help='orthographic: 1 / half extent of the picture')
    views.add_argument(
        '--view-args',
        nargs='+',
        default=[],
        metavar='NAME=VALUE',
        help='further arguments of the view set; values as JSON',
    )
    pictures = parser.add_argument_group('pictures and points')
    pictures.add_argument(
        '--image-size', type=int, nargs='+', default=[224], metavar='PIXELS', help='side, or H W'
    )
    pictures.add_argument('--supersample', type=int, default=2, help='samples a pixel and axis')
    pictures.add_argument(
        '--background',
        type=int,
        nargs=3,
        default=(255, 255, 255),
        metavar=('R', 'G', 'B'),
        help='of pictures without transparency (rgbd), and of invisible pixels (shapenet)',
    )
    pictures.add_argument('--num-points', type=int, default=8192, help='of each cloud')
    run = parser.add_argument_group('run')
    run.add_argument('--seed', type=int, default=0, help='of points and random views')
    run.add_argument(
        '--test-fraction',
        type=float,
        default=0.0,
        help='share of test models where the input has no split folders',
    )
    run.add_argument('--workers', type=int, help='processes, default one per core')
    run.add_argument('--timeout', type=float, default=300, help='seconds for a model')
    run.add_argument('--max-memory', type=float, default=4, help='gigabytes for a process')
    run.add_argument('--json', help='write what was done, and the seconds, into this file')
    return parser.parse_args(argv)


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for.

    Raises:
        ValueError: for impossible ones.
    """
    name = find_view_set(args.views)
    views = dict(type=name)
    if name == DEFAULT_VIEWS['type']:
        views = dict(DEFAULT_VIEWS)
    elif name in ('RandomViews', 'CapViews'):
        views.update(num_views=DEFAULT_VIEWS['num_views'], distance=DEFAULT_VIEWS['distance'])
    elif name == 'CubeCornerViews' and args.projection == 'perspective':
        # its own distance suits parallel rays, perspective ones would cut the object
        views['distance'] = DEFAULT_VIEWS['distance']
    for key in ('num_views', 'elevation', 'distance', 'projection', 'fov', 'scale'):
        if getattr(args, key) is not None:
            views[key] = getattr(args, key)
    for text in args.view_args:
        key, equals, value = text.partition('=')
        if not equals:
            raise ValueError(f'--view-args takes NAME=VALUE, got {text!r}')
        try:
            views[key] = json.loads(value)
        except ValueError:
            views[key] = value  # a plain word
    size = args.image_size
    if len(size) not in (1, 2) or min(size) < 1:
        raise ValueError(f'--image-size takes a side, or height and width, got {size}')
    return Settings(
        layouts=LAYOUTS[args.layout],
        views=views,
        image_size=(size[0], size[-1]),
        supersample=args.supersample,
        background=tuple(args.background),
        num_points=args.num_points,
        up_axis=args.up_axis,
        normalize=args.normalize,
        seed=args.seed,
        test_fraction=args.test_fraction,
    )


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        settings = settings_of(args)
        print(f'input is +{settings.up_axis} up (--up-axis), output +y up', file=sys.stderr)
        summary = render_folder(
            args.source,
            args.out,
            settings,
            workers=args.workers,
            timeout=args.timeout,
            max_memory=args.max_memory,
        )
    except (ValueError, OSError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here', file=sys.stderr)
        return 130
    for word in ('warnings', 'failed'):
        for file, text in summary[word]:
            print(f'{word.removesuffix("s")}: {file}: {text}', file=sys.stderr)
    done = summary['models'] - len(summary['failed'])
    print(
        f'{done} of {summary["models"]} models in {summary["out"]} ({summary["written"]} written '
        f'in {summary["seconds"]:.1f} s by {summary["workers"]} processes), '
        f'{len(summary["failed"])} failed, {len(summary["warnings"])} warnings'
    )
    if args.json:
        try:
            write_text(Path(args.json), json.dumps(summary, indent=1) + '\n')
        except OSError as error:
            print(f'error: {args.json} cannot be written ({error})', file=sys.stderr)
            return 1
    return 1 if summary['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
