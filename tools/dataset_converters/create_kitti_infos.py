"""Write the info files that mmdet3d 1.4 reads, for a folder in KITTI's layout.

    python tools/dataset_converters/create_kitti_infos.py data/kitti

The folder holds ImageSets/<split>.txt and training/{calib,image_2,label_2} with velodyne_reduced
(points inside the picture, what mmdet3d reads) or velodyne. Nothing else needs to be installed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.datasets.kitti_infos import write_kitti_infos


def main(argv: list[str] | None = None) -> int:
    """Convert; 1 and one line if a file is missing or broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder in KITTI layout; the files go there')
    parser.add_argument('--splits', nargs='+', default=(), help='default: all in ImageSets')
    parser.add_argument('--prefix', default='kitti', help='of the file names (%(default)s)')
    args = parser.parse_args(argv)
    try:
        counts = write_kitti_infos(args.root, tuple(args.splits), args.prefix)
    except (FileNotFoundError, SampleError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for split, count in counts.items():
        print(f'{args.root / f"{args.prefix}_infos_{split}.pkl"}: {count} frames')
    return 0


if __name__ == '__main__':
    sys.exit(main())
