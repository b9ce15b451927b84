"""Convert a released SimIPU checkpoint, such as SimIPU_kitti_50e.pth.

    python tools/model_converters/simipu_to_mm3d.py SimIPU_kitti_50e.pth simipu_kitti.pth

The ResNet-50 is stored under ``img_encoder.``, where this toolbox's own pre-trainings have it: all
fine-tuning configs take either. A point branch, which only checkpoints of one's own runs of the
public code hold, goes below ``point_encoder.backbone.``.

The original sees BGR pictures minus the ImageNet mean, not divided by a deviation, and its batch
norms have eps 1e-3. Here pictures are RGB, minus the mean, divided by the ImageNet deviation, and
mmdet's norms have eps 1e-5. Both are made up for in the weights: the first convolution's input
channels change places and are scaled by the deviations, and 1e-3 - 1e-5 is added to the running
variances. In eval mode a plain ``mmdet.ResNet`` then gives the features of the original. (While a
norm uses the statistics of its batch, its eps is the one of the config.)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from checkpoint_conversion import Conversion, read_state_dict, report, write_checkpoint
from torch import Tensor

#: ImageNet deviation of R, G, B, as the configs of this toolbox divide by it
STD = (58.395, 57.12, 57.375)
RELEASED_EPS, EPS = 1e-3, 1e-5
PREFIXES = {'img_backbone.': 'img_encoder.', 'pts_backbone.': 'point_encoder.backbone.'}


def convert(state_dict: dict[str, Tensor]) -> Conversion:
    """Rename the weights and fold colour order, scale and eps into them.

    Args:
        state_dict: released names without ``module.``.

    Returns:
        The weights and what became of every key.

    Raises:
        RuntimeError: if there is no first convolution of three input channels: then this is no
            image encoder that the conversion fits.
    """
    first = state_dict.get('img_backbone.conv1.weight')
    if first is None or first.shape[1] != 3:
        found = 'none' if first is None else f'one of shape {tuple(first.shape)}'
        raise RuntimeError(
            f"a SimIPU checkpoint has 'img_backbone.conv1.weight' of 3 input channels, here is "
            f'{found}; the weights are named {sorted(state_dict)[:4]}'
        )
    weights, mapped, left_out = {}, {}, {}
    for key, value in state_dict.items():
        prefix = next((p for p in PREFIXES if key.startswith(p)), None)
        if prefix is None:
            left_out[key] = 'heads and copies that only the pre-training needs'
            continue
        mapped[key] = PREFIXES[prefix] + key.removeprefix(prefix)
        if value is first:
            # input channel R of ours meets what the original had for R, its last channel
            value = value.flip(1) * torch.tensor(STD).view(1, 3, 1, 1)
        elif prefix == 'img_backbone.' and key.endswith('running_var'):
            value = value + (RELEASED_EPS - EPS)
        weights[mapped[key]] = value
    return Conversion(weights, mapped, left_out)


def main() -> int:
    """Read, convert, write, report; 0, or 1 and one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='released .pth file')
    parser.add_argument('target', help='file to write')
    args = parser.parse_args()
    try:
        conversion = convert(read_state_dict(args.source, 'state_dict'))
    except (FileNotFoundError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    meta = dict(
        method='SimIPU',
        kind='pretrain',
        source=Path(args.source).name,
        normalization='imagenet_rgb',
    )
    write_checkpoint(args.target, conversion.state_dict, meta)
    print(f'{report(conversion)}\nwritten to {args.target}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
