"""Write the embedded data set, SyntheticShapes, into a folder.

Example:
    python tools/dataset_converters/create_synthetic_shapes.py --out data/synthetic \\
        --train-per-class 200 --test-per-class 50
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.datasets.synthetic import SyntheticShapes, write_synthetic_shapes
from mm3dpretrain.datasets.synthetic.deform import ROTATIONS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog='A run that was stopped goes on where it was; a folder that holds other shapes is '
        'refused.',
    )
    parser.add_argument('--out', required=True, help='folder, made if needed')
    parser.add_argument('--train-per-class', type=int, default=60)
    parser.add_argument('--test-per-class', type=int, default=20)
    parser.add_argument(
        '--categories',
        help='comma-separated, default all: ' + ', '.join(SyntheticShapes().categories),
    )
    parser.add_argument('--views', type=int, default=4, help='pictures of each shape, 0 for none')
    parser.add_argument('--image-size', type=int, default=64, help='side in pixels')
    parser.add_argument('--num-points', type=int, default=8192, help='points of each cloud')
    parser.add_argument('--jitter', type=float, default=0.0, help='noise on the points')
    parser.add_argument(
        '--rotation', choices=ROTATIONS, default='yaw', help='random turn of each whole shape'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--layouts', default='shapenet,modelnet', help='comma-separated: shapenet, modelnet'
    )
    parser.add_argument('--workers', type=int, help='processes, default one per core')
    parser.add_argument('--json', help='write what was done, and the seconds, into this file')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        summary = write_synthetic_shapes(
            args.out,
            train_per_class=args.train_per_class,
            test_per_class=args.test_per_class,
            categories=args.categories.split(',') if args.categories else None,
            views=args.views,
            image_size=args.image_size,
            seed=args.seed,
            num_points=args.num_points,
            jitter=args.jitter,
            rotation=args.rotation,
            layouts=args.layouts.split(','),
            workers=args.workers,
        )
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here', file=sys.stderr)
        return 130
    if args.json:
        with atomic_path(Path(args.json)) as temporary:
            temporary.write_text(json.dumps(summary, indent=1) + '\n')
    print(
        f'{summary["shapes"]} shapes in {summary["out"]} ({summary["written"]} written in '
        f'{summary["seconds"]:.1f} s by {summary["workers"]} processes)'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
