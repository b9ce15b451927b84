"""Convert a released Point-BERT checkpoint.

Three kinds are recognised by their keys: the whole pre-training model, the discrete VAE, and
networks fine-tuned for classification.

    python tools/model_converters/pointbert_to_mm3d.py Point-BERT.pth pointbert.pth

The encoder is stored under ``point_encoder.``; load it with
``init_cfg=dict(type='Pretrained', checkpoint='pointbert.pth', prefix='point_encoder.')``. The VAE
is stored under ``tokenizer.`` (pre-training model) or without a prefix (VAE alone).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
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

DVAE_RULES: list[Rule] = [
    (r'codebook', r'codebook'),
    (r'encoder\.first_conv\.(.+)', r'patch_embed.first.\1'),
    (r'encoder\.second_conv\.(.+)', r'patch_embed.second.\1'),
    (r'decoder\.mlp\.(.+)', r'decoder.mlp.\1'),
    (r'decoder\.final_conv\.(.+)', r'decoder.fold.\1'),
]
for _old, _new in (('dgcnn_1', 'token_graph'), ('dgcnn_2', 'code_graph')):
    DVAE_RULES.append((_old + r'\.input_trans\.(.+)', _new + r'.input.\1'))
    for _layer in range(4):
        DVAE_RULES.append(
            (rf'{_old}\.layer{_layer + 1}\.0\.weight', rf'{_new}.layers.{_layer}.linear.weight')
        )
        DVAE_RULES.append(
            (rf'{_old}\.layer{_layer + 1}\.1\.(.+)', rf'{_new}.layers.{_layer}.norm.\1')
        )
    DVAE_RULES.append((_old + r'\.layer5\.0\.weight', _new + r'.fuse.weight'))
    DVAE_RULES.append((_old + r'\.layer5\.1\.(.+)', _new + r'.norm.\1'))

PRETRAIN_RULES: list[Rule] = [
    *with_prefix(TRANSFORMER_RULES, 'transformer_q.', 'point_encoder.'),
    (r'transformer_q\.mask_token', r'token_head.mask_token'),
    (r'transformer_q\.lm_head\.(.+)', r'token_head.classifier.\1'),
    (r'transformer_q\.cls_head\.0\.(.+)', r'moco_head.fc1.\1'),
    (r'transformer_q\.cls_head\.2\.(.+)', r'moco_head.fc2.\1'),
    (r'transformer_k\..+', None, 'momentum copy of the encoder'),
    (r'queue|queue_ptr', None, 'queue of the momentum contrast'),
    *with_prefix(DVAE_RULES, 'dvae.', 'tokenizer.'),
]

FINETUNE_RULES: list[Rule] = [
    *with_prefix(TRANSFORMER_RULES, '', 'point_encoder.'),
    (r'cls_head_finetune\..+', None, 'classification head'),
]

# the released tokenizer was trained beyond the end of its schedules: 10k iterations of delay and
# 100k of transition
DVAE_ITERATION = 110_000


def convert(state_dict: dict[str, Tensor]) -> tuple[str, Conversion]:
    """Recognise and rename the weights.

    Args:
        state_dict: released names without ``module.``.

    Returns:
        The kind ('pretrain', 'dvae' or 'finetune') and the conversion.

    Raises:
        RuntimeError: see :func:`checkpoint_conversion.rename`.
    """
    if any(key.startswith('transformer_q.') for key in state_dict):
        kind, rules, prefix = 'pretrain', PRETRAIN_RULES, 'tokenizer.'
    elif 'codebook' in state_dict:
        kind, rules, prefix = 'dvae', DVAE_RULES, ''
    else:
        kind, rules, prefix = 'finetune', FINETUNE_RULES, None
    conversion = rename(state_dict, rules)
    if prefix is not None:
        conversion.state_dict[prefix + 'iteration'] = torch.tensor(DVAE_ITERATION)
    return kind, conversion


def main() -> None:
    parser = argparse.ArgumentParser(description='Convert a released Point-BERT checkpoint')
    parser.add_argument('source', help='released .pth file')
    parser.add_argument('target', help='file to write')
    args = parser.parse_args()
    kind, conversion = convert(read_state_dict(args.source))
    meta = dict(
        method='Point-BERT',
        kind=kind,
        source=Path(args.source).name,
        in_channels=3,
        normalization='unit_sphere',
    )
    write_checkpoint(args.target, conversion.state_dict, meta)
    print(f'{kind} checkpoint\n{report(conversion)}\nwritten to {args.target}')


if __name__ == '__main__':
    main()
