"""Measure the overlap of RGB-D frames before a training, and write the list of its pairs.

    python tools/dataset_converters/measure_frame_overlap.py \\
        configs/_base_/datasets/scannet_frames.py --workers 16 --out overlap30.txt

What is measured is kept in the data set's cache_dir, where the training finds it. A run that was
stopped goes on where it was. A line of the list: <scene>/<frame> <scene>/<frame> <overlap>, the
smaller of both directions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from mmengine.config import Config, DictAction

from mm3dpretrain.datasets import RGBDFrames
from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.datasets.view_files import write_text
from mm3dpretrain.registry import DATASETS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config with the data set')
    parser.add_argument('--loader', default='train_dataloader', help='which of its loaders')
    parser.add_argument('--workers', type=int, help='processes; one a core unless given')
    parser.add_argument('--out', type=Path, help='list of the pairs')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, help='changes of the data set'
    )
    return parser.parse_args(argv)


def pair_lines(dataset: RGBDFrames) -> list[str]:
    """Lines of the list, each pair once."""
    lines = {}
    for index in range(len(dataset)):
        record = dataset.get_data_info(index)
        names = [f'{record["scene"]}/{frame["frame_id"]}' for frame in record['frames']]
        for first, second, share in zip(names[::2], names[1::2], record['overlap']):
            lines[first, second] = f'{first} {second} {share:.4f}\n'
    return list(lines.values())


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if there is nothing to use."""
    args = parse_args(argv)
    try:
        settings = Config.fromfile(args.config)[args.loader].dataset
        settings.update(pipeline=[], workers=args.workers, **args.cfg_options)
        if not issubclass(DATASETS.get(settings.type) or object, RGBDFrames):
            raise ValueError(f'{settings.type} is no set of RGB-D frames')
        dataset = DATASETS.build(settings)
        lines = pair_lines(dataset)
        if args.out:
            write_text(args.out, ''.join(lines))
    except (OSError, KeyError, ValueError, SampleError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    shares = np.array([float(line.split()[-1]) for line in lines])
    middle = f', median overlap {np.median(shares):.2f}' if len(shares) else ''
    print(f'{len(lines)} pairs of {len(dataset.scans)} scans{middle}; '
          f'{len(dataset.skipped)} frames or scans left out')  # fmt: skip
    return 0


if __name__ == '__main__':
    sys.exit(main())
