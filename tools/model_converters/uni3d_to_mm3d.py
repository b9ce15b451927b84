"""Convert a released Uni3D checkpoint (any of its five sizes).

    python tools/model_converters/uni3d_to_mm3d.py model.pt uni3d.pth

The encoder is stored under ``point_encoder.``, the linear layer into CLIP's space under
``projection.``, the scale of the contrast under ``alignment.``: all load into a model of type
``MRD`` with ``load_from``. The parts of the image network that read pixels, which the releases
still carry, are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from checkpoint_conversion import (
    Conversion,
    Rule,
    read_state_dict,
    rename,
    report,
    with_prefix,
    write_checkpoint,
)
from torch import Tensor

ENCODER_RULES: list[Rule] = [
    (r'(cls_token|cls_pos)', r'\1'),
    (r'encoder\.first_conv\.(.+)', r'patch_embed.first.\1'),
    (r'encoder\.second_conv\.(.+)', r'patch_embed.second.\1'),
    (r'encoder2trans\.(weight|bias)', r'patch_embed.reduce.\1'),
    (r'pos_embed\.(0|2)\.(weight|bias)', r'pos_embed.\1.\2'),
    (r'visual\.(blocks|norm|fc_norm)\.(.+)', r'\1.\2'),
    (r'visual\.(cls_token|pos_embed|rope|patch_embed)\b.*', None, 'reads pixels'),
    (r'visual\.head\.(weight|bias)', None, 'names pictures'),
]
RULES: list[Rule] = [
    (r'point_encoder\.trans2embed\.(weight|bias)', r'projection.\1'),
    *with_prefix(ENCODER_RULES, 'point_encoder.', 'point_encoder.'),
    (r'logit_scale', r'alignment.log_scale'),
]


def convert(state_dict: dict[str, Tensor]) -> Conversion:
    """Rename the weights.

    Args:
        state_dict: released names without ``module.``.

    Raises:
        RuntimeError: see :func:`checkpoint_conversion.rename`.
    """
    return rename(state_dict, RULES)


def main() -> None:
    parser = argparse.ArgumentParser(description='Convert a released Uni3D checkpoint')
    parser.add_argument('source', help='released .pt file')
    parser.add_argument('target', help='file to write')
    args = parser.parse_args()
    conversion = convert(read_state_dict(args.source, 'module'))
    meta = dict(
        method='Uni3D', source=Path(args.source).name, in_channels=6, normalization='unit_sphere'
    )
    write_checkpoint(args.target, conversion.state_dict, meta)
    print(f'{report(conversion)}\nwritten to {args.target}')


if __name__ == '__main__':
    main()
