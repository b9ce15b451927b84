"""Write the embedded indoor data set, SyntheticRooms, in mmdet3d's ScanNet layout.

Example:
    python tools/dataset_converters/create_synthetic_rooms.py --out data/synthetic_rooms --num 125
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.datasets.synthetic.rooms_writer import write_synthetic_rooms


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog='A run that was stopped goes on where it was; a folder that holds other rooms is '
        'refused. docs/synthetic_scenes.md describes the files.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', required=True, help='folder, made if needed')
    parser.add_argument('--num', type=int, default=125, help='rooms, training and validation')
    parser.add_argument('--val-share', type=float, default=0.2, help='share that is for validation')
    parser.add_argument('--frames', type=int, default=8, help='RGB-D frames of each room')
    parser.add_argument(
        '--steps', type=int, default=3, help='camera positions from one frame to the next'
    )
    parser.add_argument(
        '--image-size', type=int, nargs=2, default=(240, 320), metavar=('H', 'W'), help='pixels'
    )
    parser.add_argument('--num-points', type=int, default=30000, help='most points of a cloud')
    parser.add_argument('--depth-noise', type=float, default=1.0, help='factor, 0 for exact depth')
    parser.add_argument('--seed', type=int, default=0, help='of everything random')
    parser.add_argument('--workers', type=int, help='processes; one a core unless given')
    parser.add_argument('--json', help='write what was done, and the seconds, into this file')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        if not 0 <= args.val_share <= 1:
            raise ValueError(f'--val-share must be in [0, 1], got {args.val_share}')
        val = round(args.num * args.val_share)
        summary = write_synthetic_rooms(
            args.out,
            train=args.num - val,
            val=val,
            frames=args.frames,
            steps=args.steps,
            image_size=tuple(args.image_size),
            num_points=args.num_points,
            depth_noise=args.depth_noise,
            seed=args.seed,
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
        f'{summary["scenes"]} rooms in {summary["out"]} ({summary["written"]} written in '
        f'{summary["seconds"]:.1f} s by {summary["workers"]} processes)'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
