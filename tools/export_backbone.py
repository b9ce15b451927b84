"""Write the bare encoder of a pre-training and prove that another network takes it.

Prints which keys matched, which are missing and unexpected, and compares the features of a fixed
input before and after. Ends with status 1, and writes nothing, if no key matches, a shape differs
or the features differ.

    python tools/export_backbone.py work_dirs/demo/drpoint/pretrain/epoch_20.pth --out encoder.pth
    python tools/export_backbone.py CHECKPOINT --out encoder.pth --target configs/my_detector.py
    python tools/export_backbone.py CHECKPOINT --out encoder.pth --scope encoder
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import DictAction

from mm3dpretrain.apis import config_of, export_backbone, read_checkpoint
from mm3dpretrain.apis.export import SCOPES
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.utils import prepare_runtime


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='checkpoint of a pre-training')
    parser.add_argument('--out', required=True, help='file to write')
    parser.add_argument('--module', help="which part: 'point' (default), 'image', ...")
    parser.add_argument('--config', help='default: the config stored in the checkpoint')
    parser.add_argument(
        '--target', metavar='CONFIG', help='config of the network that shall take the weights'
    )
    parser.add_argument(
        '--target-module',
        default='backbone',
        help='part of its model that is the encoder (default: %(default)s, or the whole model)',
    )
    parser.add_argument(
        '--scope',
        choices=SCOPES,
        default='encoder_decoder',
        help="'encoder' leaves the decoder of a U-Net or PointNet++ out (default: %(default)s)",
    )
    parser.add_argument('--json', metavar='FILE', help='write the counts to this file as well')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='replace values of the training config',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Export; 0 if the target took the weights, else 1 and one line that says why."""
    args = parse_args(argv)
    try:
        config = args.config
        if args.cfg_options:
            stored = config or config_of(read_checkpoint(args.checkpoint)['meta'], args.checkpoint)
            config = prepare_runtime(stored, args.cfg_options)
        result = export_backbone(
            args.checkpoint,
            args.out,
            args.module,
            config,
            args.target,
            args.target_module,
            args.scope,
        )
    except (RuntimeError, ValueError, KeyError, OSError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(result)
    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(result.to_dict(), indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
