"""Convert a released OpenShape checkpoint (its PointBERT, scalings 1 to 6).

    python tools/model_converters/openshape_to_mm3d.py model.pt openshape.pth

The encoder is stored under ``point_encoder.``, the linear layer into CLIP's space under
``projection.``: both load into a model of type ``MRD`` with ``load_from``. OpenShape's gravity axis
is y, its colours lie in [0, 1], grey (0.4) where a shape has none.
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

_LAYER = r'transformer\.layers\.(\d+)\.'
ENCODER_RULES: list[Rule] = [
    (r'cls_token', r'cls_token'),
    (r'sa\.mlp_convs\.(\d)\.(.+)', r'patch_mlp.\1.0.\2'),
    (r'sa\.mlp_bns\.(\d)\.(.+)', r'patch_mlp.\1.1.\2'),
    (r'lift\.0\.(.+)', r'lift.0.\1'),
    (r'lift\.2\.(.+)', r'lift.1.\1'),
    (_LAYER + r'0\.norm\.(.+)', r'blocks.\1.norm1.\2'),
    (_LAYER + r'0\.fn\.to_qkv\.(.+)', r'blocks.\1.attn.qkv.\2'),
    (_LAYER + r'0\.fn\.to_out\.0\.(.+)', r'blocks.\1.attn.proj.\2'),
    (_LAYER + r'0\.fn\.pe\.(0|2)\.(.+)', r'biases.\1.\2.\3'),
    (_LAYER + r'1\.norm\.(.+)', r'blocks.\1.norm2.\2'),
    (_LAYER + r'1\.fn\.net\.0\.(.+)', r'blocks.\1.mlp.fc1.\2'),
    (_LAYER + r'1\.fn\.net\.3\.(.+)', r'blocks.\1.mlp.fc2.\2'),
]
RULES: list[Rule] = [
    *with_prefix(ENCODER_RULES, 'ppat.', 'point_encoder.'),
    (r'proj\.(weight|bias)', r'projection.\1'),
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
    parser = argparse.ArgumentParser(description='Convert a released OpenShape checkpoint')
    parser.add_argument('source', help='released .pt file')
    parser.add_argument('target', help='file to write')
    args = parser.parse_args()
    conversion = convert(read_state_dict(args.source, 'state_dict'))
    meta = dict(
        method='OpenShape',
        source=Path(args.source).name,
        in_channels=6,
        normalization='unit_sphere',
        gravity_axis='y',
    )
    write_checkpoint(args.target, conversion.state_dict, meta)
    print(f'{report(conversion)}\nwritten to {args.target}')


if __name__ == '__main__':
    main()
