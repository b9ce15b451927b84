"""Turn the sparse convolutions of a checkpoint from spconv 1 to spconv 2.

spconv 1, which mmcv contains, stores kernels as (D, H, W, in, out), spconv 2 as
(out, D, H, W, in). Every weight with five axes below the given prefixes is turned; dense 3D
convolutions have five axes too, leave them out with --prefix.

    python tools/model_converters/spconv1_to_spconv2.py second_kitti.pth second_kitti_spconv2.pth
"""

from __future__ import annotations

import argparse
import sys

from checkpoint_conversion import read_state_dict, write_checkpoint
from torch import Tensor


def convert(state_dict: dict[str, Tensor], prefixes: list[str]) -> tuple[dict[str, Tensor], int]:
    """Turned weights, and how many were turned.

    Args:
        state_dict: name -> weight; kernels (D, H, W, in, out).
        prefixes: beginnings of the names that are turned; [''] takes all.

    Raises:
        RuntimeError: if there is no weight with five axes below the prefixes.
    """
    turned = {
        key: value.permute(4, 0, 1, 2, 3).contiguous()
        for key, value in state_dict.items()
        if value.dim() == 5 and key.startswith(tuple(prefixes))
    }
    if not turned:
        raise RuntimeError(f'no weight with five axes below {prefixes}: nothing to turn')
    return {**state_dict, **turned}, len(turned)


def main(argv: list[str] | None = None) -> int:
    """Convert; 1 and one line if that is not possible."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='checkpoint with the kernels of spconv 1')
    parser.add_argument('target', help='file to write')
    parser.add_argument(
        '--prefix', nargs='+', default=[''], help='turn only weights whose name begins so'
    )
    args = parser.parse_args(argv)
    try:
        state_dict, count = convert(read_state_dict(args.source, 'state_dict'), args.prefix)
    except (RuntimeError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    write_checkpoint(args.target, state_dict, dict(sparse_kernels='spconv2'))
    print(f'{count} of {len(state_dict)} weights turned, written to {args.target}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
