"""Draw what the point renderer makes of a cloud or mesh: colour, depth and mask of every view.

Examples::

    python tools/visualization/contact_sheet.py chair.off --out chair.png
    python tools/visualization/contact_sheet.py cloud.npy --views cube --image-size 256 --radius 5
    python tools/visualization/contact_sheet.py scan.ply --up-axis z --radius 0.02 \\
        --radius-unit metre --json scan.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

KERNELS = ('cosine', 'quadratic', 'gaussian', 'disc')  # of PointSplatRenderer


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('file', help='.npy, .npz or text cloud, or .off, .ply, .obj, ... mesh')
    parser.add_argument('--views', choices=('orbit', 'cube'), default='orbit')
    parser.add_argument('--num-views', type=int, default=6, help='of an orbit; a cube has 8')
    parser.add_argument('--elevation', type=float, default=20.0, help='of an orbit, degrees')
    parser.add_argument(
        '--projection',
        choices=('perspective', 'orthographic'),
        help='default: perspective for an orbit, orthographic for a cube',
    )
    parser.add_argument('--up-axis', choices=('x', 'y', 'z'), default='y')
    parser.add_argument('--radius', type=float, default=3.0, help='of a point')
    parser.add_argument('--radius-unit', choices=('pixel', 'metre'), default='pixel')
    parser.add_argument('--kernel', choices=KERNELS, default='cosine')
    parser.add_argument('--image-size', type=int, nargs='+', default=[224], metavar='S',
                        help='side, or height and width, in pixels')  # fmt: skip
    parser.add_argument('--num-points', type=int, default=8192, help='sampled from a mesh')
    parser.add_argument(
        '--keep-scale',
        action='store_true',
        help='do not move and scale the cloud into the unit sphere first',
    )
    parser.add_argument('--out', type=Path, help='picture to write; default <file>_views.png')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    args = parser.parse_args(argv)
    if len(args.image_size) > 2:
        parser.error('--image-size takes one or two numbers')
    return args


def main(argv: list[str] | None = None) -> int:
    """Read, render, write. Returns the exit code."""
    args = parse_args(argv)
    import cv2
    import numpy as np

    from mm3dpretrain.datasets.io import SampleError, atomic_path
    from mm3dpretrain.datasets.mesh_io import read_cloud
    from mm3dpretrain.models.renderers import PointSplatRenderer, cube_corner_views, orbit_views
    from mm3dpretrain.visualization import render_sheet

    size = (args.image_size * 2)[:2]
    out = args.out or Path(args.file).with_name(f'{Path(args.file).stem}_views.png')
    if not cv2.haveImageWriter(str(out)):
        print(f'error: {out}: unknown picture format, take .png or .jpg', file=sys.stderr)
        return 1
    try:
        cloud = read_cloud(args.file, args.num_points)
        points = cloud['points'][:, :3]
        if not args.keep_scale:
            points = points - points.mean(0)
            points = points / max(float(np.linalg.norm(points, axis=1).max()), 1e-9)
        if args.views == 'cube':
            cameras = cube_corner_views(
                size, args.projection or 'orthographic', distance=3.0, up_axis=args.up_axis
            )
        else:
            cameras = orbit_views(
                args.num_views,
                args.elevation,
                image_size=size,
                projection=args.projection or 'perspective',
                up_axis=args.up_axis,
            )
        renderer = PointSplatRenderer(
            args.radius, args.radius_unit, args.kernel, near=0.1, far=10.0
        )
        start = time.perf_counter()
        sheet, figures = render_sheet(points, cameras, renderer, cloud.get('rgb'))
        seconds = time.perf_counter() - start
    except (SampleError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    try:
        with atomic_path(out) as temporary:
            if not cv2.imwrite(str(temporary), sheet[..., ::-1]):
                raise OSError('the picture could not be written')
    except OSError as error:
        print(f'error: {out}: {error}', file=sys.stderr)
        return 1
    print(f'{out}: {cameras.num_views} views of {len(points)} points, rendered in {seconds:.2f} s')
    if args.json:
        figures |= dict(picture=str(out), num_points=len(points), seconds=seconds)
        try:
            with atomic_path(args.json) as temporary:
                temporary.write_text(json.dumps(figures, indent=2) + '\n')
        except OSError as error:
            print(f'error: {args.json}: {error}', file=sys.stderr)
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
