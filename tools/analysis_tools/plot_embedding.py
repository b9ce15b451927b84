"""Draw the features of a data set as a map (t-SNE or PCA), one colour a class.

python tools/analysis_tools/plot_embedding.py CHECKPOINT --out map.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mm3dpretrain.apis import extract_features, load_pretrained
from mm3dpretrain.apis.features import build_dataset
from mm3dpretrain.evaluation.probe_runner import probe_settings
from mm3dpretrain.visualization.embedding_map import METHODS, draw_embedding, embed_2d


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint')
    parser.add_argument('--out', required=True, help='PNG to write')
    parser.add_argument('--config', help='default: the config stored in the checkpoint')
    parser.add_argument('--split', choices=['train', 'test'], default='test', help='of `probe`')
    parser.add_argument('--method', choices=METHODS, default='tsne')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--device', default='cpu')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Draw; 1 and one line if that is not possible."""
    args = parse_args(argv)
    try:
        model = load_pretrained(args.checkpoint, args.config, args.device)
        settings = probe_settings(model.cfg.get('probe'))
        dataset = build_dataset(settings[f'{args.split}_dataset'])
        features, labels = extract_features(model, dataset, settings['batch_size'], seed=args.seed)
        names = getattr(dataset, 'metainfo', {}).get('classes')
        title = f'{Path(args.checkpoint).name}, {args.split} split, {args.method}'
        flat = embed_2d(features, args.method, args.seed)
        print(draw_embedding(flat, labels, args.out, names, title))
    except (RuntimeError, ValueError, KeyError, OSError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
