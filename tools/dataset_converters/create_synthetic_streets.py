"""Write the embedded outdoor data set, SyntheticStreets, in KITTI's layout.

Example:
    python tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets \\
        --num 125
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.datasets.synthetic.streets_writer import write_synthetic_streets


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog='A run that was stopped goes on where it was; a folder that holds other streets is '
        'refused. docs/synthetic_scenes.md describes the files.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', required=True, help='folder, made if needed')
    parser.add_argument('--num', type=int, default=125, help='frames, training and validation')
    parser.add_argument('--val-share', type=float, default=0.2, help='share that is for validation')
    parser.add_argument(
        '--image-size', type=int, nargs=2, default=(375, 1242), metavar=('H', 'W'), help='pixels'
    )
    parser.add_argument('--stereo', action='store_true', help="also the right camera's pictures")
    parser.add_argument('--beams', type=int, default=64, help='of the LiDAR')
    parser.add_argument('--columns', type=int, default=2083, help='firings of the LiDAR per turn')
    parser.add_argument('--max-range', type=float, default=80.0, help='of the LiDAR, metres')
    parser.add_argument(
        '--range-noise', type=float, default=0.02, help='of the LiDAR, standard deviation, metres'
    )
    parser.add_argument('--dropout', type=float, default=0.04, help='share of lost returns')
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
        summary = write_synthetic_streets(
            args.out,
            train=args.num - val,
            val=val,
            image_size=tuple(args.image_size),
            stereo=args.stereo,
            beams=args.beams,
            columns=args.columns,
            max_range=args.max_range,
            range_noise=args.range_noise,
            dropout=args.dropout,
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
        f'{summary["scenes"]} streets in {summary["out"]} ({summary["written"]} written in '
        f'{summary["seconds"]:.1f} s by {summary["workers"]} processes)'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
