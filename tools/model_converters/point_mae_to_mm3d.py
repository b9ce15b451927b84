"""Convert a released Point-MAE checkpoint.

Two kinds are recognised by their keys: the pre-training model and fine-tuned classifiers.

    python tools/model_converters/point_mae_to_mm3d.py pretrain.pth point_mae.pth

The encoder is stored under ``point_encoder.``; load it with
``init_cfg=dict(type='Pretrained', checkpoint='point_mae.pth', prefix='point_encoder.')``. A
pre-training model has no class token: its transfer leaves ``cls_token`` and ``cls_pos`` at their
initial values, as the original does. The decoder is stored under ``point_decoder.``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from checkpoint_conversion import (
    TRANSFORMER_RULES,
    Conversion,
    Rule,
    read_state_dict,
    rename,
    report,
    with_prefix,
    write_checkpoint,
)
from torch import Tensor

PRETRAIN_RULES: list[Rule] = [
    *with_prefix(TRANSFORMER_RULES, 'MAE_encoder.', 'point_encoder.'),
    (r'mask_token', r'point_decoder.mask_token'),
    (r'decoder_pos_embed\.(0|2)\.(.+)', r'point_decoder.pos_embed.\1.\2'),
    (r'MAE_decoder\.blocks\.(\d+)\.(.+)', r'point_decoder.blocks.layers.\1.\2'),
    (r'MAE_decoder\.norm\.(.+)', r'point_decoder.norm.\1'),
    (r'increase_dim\.0\.(.+)', r'point_decoder.to_points.\1'),
]

FINETUNE_RULES: list[Rule] = [
    *with_prefix(TRANSFORMER_RULES, '', 'point_encoder.'),
    (r'cls_head_finetune\..+', None, 'classification head'),
]


def convert(state_dict: dict[str, Tensor]) -> tuple[str, Conversion]:
    """Recognise and rename the weights.

    Args:
        state_dict: released names without ``module.``.

    Returns:
        The kind ('pretrain' or 'finetune') and the conversion.

    Raises:
        RuntimeError: see :func:`checkpoint_conversion.rename`.
    """
    if any(key.startswith('MAE_encoder.') for key in state_dict):
        return 'pretrain', rename(state_dict, PRETRAIN_RULES)
    return 'finetune', rename(state_dict, FINETUNE_RULES)


def main() -> None:
    parser = argparse.ArgumentParser(description='Convert a released Point-MAE checkpoint')
    parser.add_argument('source', help='released .pth file')
    parser.add_argument('target', help='file to write')
    args = parser.parse_args()
    kind, conversion = convert(read_state_dict(args.source))
    meta = dict(
        method='Point-MAE',
        kind=kind,
        source=Path(args.source).name,
        in_channels=3,
        normalization='unit_sphere',
    )
    write_checkpoint(args.target, conversion.state_dict, meta)
    print(f'{kind} checkpoint\n{report(conversion)}\nwritten to {args.target}')


if __name__ == '__main__':
    main()
