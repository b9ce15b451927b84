"""Draw what a checkpoint makes of masked clouds: input, visible part, reconstruction, depth.

For models that reconstruct points: DRPoint (with its decoder and renderer) and PointDVAE.

Examples::

    python tools/visualization/visualize_reconstruction.py \\
        work_dirs/demo/drpoint/pretrain/epoch_20.pth --num 6 --html reconstruction.html
    python tools/visualization/visualize_reconstruction.py epoch_12.pth --data chair.off --seed 3
    python tools/visualization/visualize_reconstruction.py epoch_12.pth --index 0 7 \\
        --dataset train_dataloader.dataset
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mm3dpretrain.apis.features import evaluating, isolated_rng
from mm3dpretrain.visualization import TurnableItem, reconstruct_clouds, reconstruction_sheet
from tools.visualization import _common as common


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common.add_model(parser)
    common.add_choice(parser, num=6)
    parser.set_defaults(out=Path('work_dirs/reconstruction.png'))
    args = parser.parse_args(argv)
    common.check_choice(parser, args)
    return args


def draw(args: argparse.Namespace) -> None:
    """Load, reconstruct, draw."""
    model = common.load_model(args)
    points, infos = common.model_inputs(model, args)
    axes = [info['up_axis'] for info in infos]
    with isolated_rng(args.seed), evaluating(model):
        results = reconstruct_clouds(model, points, axes[0])
    captions = [common.caption_of(info) for info in infos]
    sheet = reconstruction_sheet(results, captions, args.size, axes[0])

    def items() -> list[TurnableItem]:
        found = []
        for result, caption, axis in zip(results, captions, axes):
            parts = {'input': result.points, 'visible': result.visible, 'made': result.cloud}
            found += [
                TurnableItem(f'{caption}: {name}', part, up_axis=axis, frame=caption)
                for name, part in parts.items()
                if part is not None and len(part)
            ]
        return found

    common.write_outputs(args, sheet, items, f'Reconstructions of {args.checkpoint}')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: draw(args))


if __name__ == '__main__':
    sys.exit(main())
