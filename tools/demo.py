"""Pre-train on embedded data and look at the result: one command, no download, no GPU.

python tools/demo.py drpoint
python tools/demo.py drpoint --fresh
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

DEMOS = Path(__file__).with_name('demos')


def main(argv: list[str] | None = None) -> dict:
    """Run the demo of one method; returns what it wrote to ``summary.json``."""
    methods = sorted(p.stem for p in DEMOS.glob('*.py') if not p.stem.startswith('_'))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('method', choices=methods, help='which method')
    parser.add_argument('--work-dir', help='default: work_dirs/demo/METHOD')
    parser.add_argument('--data', help='where the embedded data go (default: a folder below data/)')
    parser.add_argument(
        '--fresh', action='store_true', help='train again instead of continuing a former run'
    )
    parser.add_argument('--json', metavar='FILE', help='write the figures to this file as well')
    parser.add_argument(
        '--scale',
        type=float,
        default=1.0,
        help='factor on the number of epochs, such as 0.1 for a first look (default: 1)',
    )
    args = parser.parse_args(argv)
    if args.scale <= 0:
        parser.error(f'--scale must be positive, got {args.scale}')
    args.work_dir = Path(args.work_dir or f'work_dirs/demo/{args.method}')
    return importlib.import_module(f'tools.demos.{args.method}').run(args)


if __name__ == '__main__':
    main()
