"""Draw the loss curves of one or more trainings into a PNG.

python tools/analysis_tools/plot_curves.py work_dirs/demo/drpoint/pretrain --out curves.png
python tools/analysis_tools/plot_curves.py RUN_A RUN_B --keys loss_cd cd --out cd.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mm3dpretrain.visualization.loss_curves import draw_curves, read_scalars


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('runs', nargs='+', help='work directories or scalars.json files')
    parser.add_argument('--out', required=True, help='PNG to write')
    parser.add_argument('--keys', nargs='+', help='names to draw (default: losses and probes)')
    parser.add_argument('--legend', nargs='+', help='a name for each run (default: its folder)')
    parser.add_argument('--title', default='')
    args = parser.parse_args(argv)
    if args.legend and len(args.legend) != len(args.runs):
        parser.error(f'{len(args.legend)} names in --legend for {len(args.runs)} runs')
    return args


def main(argv: list[str] | None = None) -> int:
    """Draw; 1 and one line if there is nothing to draw."""
    args = parse_args(argv)
    names = args.legend or [Path(run).name for run in args.runs]
    try:
        curves = [read_scalars(run) for run in args.runs]
        # runs in equally named folders stay apart
        names = [name if names.count(name) == 1 else run for name, run in zip(names, args.runs)]
        entries = dict(zip(names, curves)) if len(curves) > 1 else curves[0]
        print(draw_curves(entries, args.out, args.title, args.keys))
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
