"""Write the text embeddings of classes, which zero-shot classification compares shapes with.

    python tools/dataset_converters/make_class_embeddings.py --out data/class_embeddings/m40.npz \\
        --text configs/_base_/text_spaces/clip_vit-b-32.py \\
        --data configs/_base_/datasets/modelnet40_cls.py
    python tools/dataset_converters/make_class_embeddings.py --out mine.npz \\
        --text configs/_base_/text_spaces/clip_vit-b-32.py --classes chair 'night stand' lamp
    python tools/dataset_converters/make_class_embeddings.py --out lvis.npz \\
        --openshape meta_data/lvis_cat_name_pt_feat.npy --data CONFIG

With --data the names are those of the data set's classes, and their words are `class_texts` of its
meta information, or the names with blanks for underscores. OpenShape's own features are taken as
they are; its file for LVIS has no names and needs --data or --classes in the order of its rows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mm3dpretrain.datasets import ClassEmbeddings, write_class_embeddings
from mm3dpretrain.datasets.class_embeddings import class_words
from mm3dpretrain.datasets.openshape_eval import read_openshape_classes
from mm3dpretrain.datasets.prompts import embed_classes
from mm3dpretrain.registry import DATASETS
from mm3dpretrain.utils import prepare_runtime
from tools.visualization import _common as common
from tools.zero_shot import add_text_options, open_text_space


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', required=True, metavar='NPZ', help='file to write')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--text', metavar='CONFIG', help='a text space, see configs/_base_/text_spaces'
    )
    source.add_argument('--openshape', metavar='NPY', help="OpenShape's features of class names")
    add_text_options(parser)
    names = parser.add_mutually_exclusive_group()
    names.add_argument('--data', metavar='CONFIG', help='a config whose data set has the classes')
    names.add_argument('--classes', nargs='+', metavar='NAME', help='names of the classes')
    parser.add_argument('--dataset', metavar='KEY', help='which data set of the config')
    args = parser.parse_args(argv)
    if args.text and not (args.data or args.classes):
        parser.error('--text needs --data or --classes')
    return args


def make(args: argparse.Namespace) -> None:
    """Embed the classes and write the file."""
    names, words = args.classes, args.classes
    if args.data:
        config = common.dataset_config(prepare_runtime(args.data), args.dataset, args.data)
        meta = DATASETS.build(dict(config)).metainfo
        if not meta.get('classes'):
            raise ValueError(f'the data set of {args.data} names no classes')
        names, words = list(meta['classes']), list(class_words(meta).values())
    if args.openshape:
        value = read_openshape_classes(args.openshape, names)
    else:
        space, prompts = open_text_space(args)
        found = embed_classes(space, words, prompts)
        value = ClassEmbeddings(tuple(names), found.embeddings, found.meta)
    write_class_embeddings(args.out, value)
    print(f'{args.out}: {len(value.names)} classes, {value.dim} dimensions, {value.meta}')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: make(args))


if __name__ == '__main__':
    sys.exit(main())
