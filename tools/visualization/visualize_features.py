"""Colour points by the first three principal components of what an encoder finds at them.

Red, green and blue are the three directions in which the local features of the shown samples
differ most, fitted on all of them together: points of one colour look alike to the encoder, in one
shape and across shapes.

Examples::

    python tools/visualization/visualize_features.py work_dirs/demo/drpoint/pretrain/epoch_20.pth
    python tools/visualization/visualize_features.py epoch_12.pth --index 0 40 80 --html colors.html
    python tools/visualization/visualize_features.py epoch_12.pth --data chair.off table.ply
    python tools/visualization/visualize_features.py epoch_12.pth \\
        --data configs/_base_/datasets/shapes69_cls.py --num 12
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from mm3dpretrain.apis.features import evaluating, isolated_rng
from mm3dpretrain.visualization import (
    TurnableItem,
    contact_sheet,
    draw_points,
    pca_colors,
    point_features,
)
from tools.visualization import _common as common

BATCH = 16
AZIMUTHS = (30.0, 150.0, 270.0)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common.add_model(parser)
    common.add_choice(parser, num=8)
    parser.set_defaults(out=Path('work_dirs/features.png'))
    args = parser.parse_args(argv)
    common.check_choice(parser, args)
    return args


def draw(args: argparse.Namespace) -> None:
    """Load, encode, draw."""
    model = common.load_model(args)
    points, infos = common.model_inputs(model, args)
    with isolated_rng(args.seed), evaluating(model):
        features = torch.cat([point_features(model, part) for part in points.split(BATCH)])
    colors = pca_colors(list(features.cpu().numpy()))
    clouds = points[..., :3].cpu().numpy()
    rows = [
        [draw_points(cloud, args.size, color, azimuth, info['up_axis']) for azimuth in AZIMUTHS]
        for cloud, color, info in zip(clouds, colors, infos)
    ]
    half = -(-len(rows) // 2) if len(rows) > 3 else len(rows)
    sheet = _side_by_side(rows, [common.caption_of(info) for info in infos], half)

    def items() -> list[TurnableItem]:
        return [
            TurnableItem(common.caption_of(info), cloud, color, up_axis=info['up_axis'])
            for cloud, color, info in zip(clouds, colors, infos)
        ]

    common.write_outputs(args, sheet, items, f'Features of {args.checkpoint}')


def _side_by_side(rows: list, captions: list[str], height: int) -> np.ndarray:
    """Sheets of ``height`` rows beside each other."""
    parts = [
        contact_sheet(rows[i : i + height], row_labels=captions[i : i + height])
        for i in range(0, len(rows), height)
    ]
    tallest = max(len(part) for part in parts)
    return np.concatenate(
        [np.pad(p, ((0, tallest - len(p)), (0, 0), (0, 0)), constant_values=255) for p in parts], 1
    )


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: draw(args))


if __name__ == '__main__':
    sys.exit(main())
