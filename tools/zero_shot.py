"""Name shapes with a pre-trained model and free text.

    python tools/zero_shot.py epoch_20.pth chair.obj --classes chair table lamp \\
        --text configs/_base_/text_spaces/clip_vit-b-32.py
    python tools/zero_shot.py epoch_20.pth a.ply b.npy --class-embeddings classes.npz \\
        --out sheet.png

Shapes are mesh or cloud files. They are prepared as the checkpoint was trained; `--up-axis` says
which axis of the files points upwards, where that is another one than in the training.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
from mmengine.config import DictAction

from mm3dpretrain.apis import ZeroShotClassifier, build_text_space
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import contact_sheet, shape_picture
from tools.visualization import _common as common

COLUMNS = 5  # pictures in a row


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='written by an MRD training')
    parser.add_argument('shapes', nargs='+', metavar='FILE', help='mesh or cloud files')
    parser.add_argument(
        '--classes', nargs='+', metavar='NAME',
        help='names to choose from; with --class-embeddings default all of the file',
    )  # fmt: skip
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument('--class-embeddings', metavar='FILE', help='.npz of class embeddings')
    texts.add_argument(
        '--text', metavar='CONFIG', help='a text space, see configs/_base_/text_spaces'
    )
    add_text_options(parser)
    parser.add_argument('--topk', type=int, default=5, help='names to show (default: %(default)s)')
    add_model_options(parser)
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the scores here as well')
    parser.add_argument('--out', type=Path, metavar='PNG', help='draw the shapes with their names')
    parser.add_argument('--size', type=int, default=192, help='of a picture (default: %(default)s)')
    parser.set_defaults(html=None)
    args = parser.parse_args(argv)
    if args.text and not args.classes:
        parser.error('--text needs --classes')
    if args.topk < 1 or args.size < 16:
        parser.error('need --topk >= 1 and --size >= 16')
    if args.out and not cv2.haveImageWriter(str(args.out)):
        parser.error(f'{args.out}: unknown picture format, take .png or .jpg')
    return args


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """The arguments about the text space."""
    parser.add_argument(
        '--prompts',
        help="templates around a name, such as 'modelnet40_64' or 'plain' (default: those of the "
        "text space's config)",
    )
    parser.add_argument(
        '--text-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='replace values of the text config, such as text_space.weights=clip.safetensors',
    )  # fmt: skip


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The arguments about the model and what it is fed."""
    parser.add_argument('--config', help='of the model (default: the one in the checkpoint)')
    parser.add_argument('--up-axis', choices=('x', 'y', 'z'), help='of the files')
    parser.add_argument('--num-points', type=int, help='default: as in the training')
    parser.add_argument('--device', default='cpu', help='such as cuda:0 (default: %(default)s)')


def open_text_space(args: argparse.Namespace, prompts: str = 'modelnet40_64') -> tuple:
    """The text space of ``--text``, and the prompts that were asked for.

    Args:
        args: with the arguments of :func:`add_text_options` and ``text``.
        prompts: where neither the command line nor the config names any.
    """
    config = prepare_runtime(args.text, args.text_options)
    if config.get('text_space') is None:
        raise ValueError(f'{args.text} has no `text_space`: see configs/_base_/text_spaces')
    return build_text_space(config.text_space), args.prompts or config.get('prompts', prompts)


def tell_axis(axis: str) -> None:
    """Say how files were turned: a wrong axis is the most frequent cause of wrong names."""
    if axis in ('x', 'y', 'z'):
        print(f'taken to stand on axis {axis}: --up-axis names another', file=sys.stderr)


def classify(args: argparse.Namespace) -> None:
    """Rank, print, draw."""
    classes, prompts = args.class_embeddings, args.prompts or 'plain'
    if args.text:
        classes, prompts = open_text_space(args)
    classifier = ZeroShotClassifier(
        args.checkpoint, classes, prompts, config=args.config, num_points=args.num_points,
        device=args.device,
    )  # fmt: skip
    results = {}
    for path in args.shapes:
        ranked = classifier(path, args.classes, args.topk, args.up_axis)
        results[path] = [dict(name=name, cosine=cosine) for name, cosine in ranked]
        print(f'{path}: ' + ', '.join(f'{name} {cosine:.3f}' for name, cosine in ranked))
    axis = args.up_axis or classifier.encoder.gravity_axis
    tell_axis(axis)
    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(results, indent=2) + '\n')
    if args.out:
        axis = axis if axis in ('x', 'y', 'z') else 'y'
        paths = args.shapes
        rows = [paths[i : i + COLUMNS] for i in range(0, len(paths), COLUMNS)]
        sheet = contact_sheet(
            [[shape_picture(path, args.size, up_axis=axis) for path in row] for row in rows],
            row_labels=[
                '   '.join(f'{Path(p).name}: {results[p][0]["name"]}' for p in row) for row in rows
            ],
        )
        common.write_outputs(args, sheet, list, '')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: classify(args))


if __name__ == '__main__':
    sys.exit(main())
