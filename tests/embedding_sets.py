"""A small set of shapes with pictures and captions in ShapeNet-55's layout, and a small CLIP."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

CLASSES = ('ball', 'cube', 'cone')
COLORS = dict(red=(220, 30, 30), green=(30, 200, 30), blue=(40, 40, 230), grey=(120, 120, 120))
CLIP = dict(
    embed_dim=16,
    vision_cfg=dict(image_size=16, layers=1, width=32, head_width=16, patch_size=8),
    text_cfg=dict(context_length=12, width=16, heads=2, layers=1),
)


def write_shapes(root: Path, count: int = 12, views: int = 3, size: int = 16) -> list[str]:
    """Shapes of three classes; sample 1 has no caption, sample 2 no picture.

    Returns:
        The sample ids.
    """
    rng = np.random.default_rng(0)
    names, captions = [], {}
    lists, points = root / 'ShapeNet55-34/ShapeNet-55', root / 'ShapeNet55-34/shapenet_pc'
    lists.mkdir(parents=True)
    points.mkdir()
    for index in range(count):
        label, color = index % 3, list(COLORS)[index % 4]
        synset, model = f'{90000001 + label}', f's{index:03d}'
        name = f'{synset}-{model}'
        names.append(name)
        np.save(points / f'{name}.npy', rng.uniform(-0.5, 0.5, (64, 3)).astype(np.float32))
        if index != 1:
            captions[name] = [f'a {color} {CLASSES[label]}', f'this {CLASSES[label]} is {color}']
        folder = root / 'ShapeNetRendering' / synset / model / 'rendering'
        folder.mkdir(parents=True)
        for view in range(views if index != 2 else 0):
            picture = np.full((size, size, 3), 255, np.uint8)
            cells = slice(2 + view, size - 2 - label * 3)
            picture[cells, 2 + label : -2] = COLORS[color][::-1]
            cv2.imwrite(str(folder / f'{view:02d}.png'), picture)
    (lists / 'train.txt').write_text('\n'.join(f'{name}.npy' for name in names))
    (lists / 'test.txt').write_text('\n'.join(f'{name}.npy' for name in names[:4]))
    (root / 'captions.json').write_text(json.dumps(captions))
    (root / 'taxonomy.json').write_text(
        json.dumps([dict(synsetId=f'{90000001 + k}', name=name) for k, name in enumerate(CLASSES)])
    )
    return names


def dataset_config(root: Path, pipeline: list, split: str = 'train') -> dict:
    """Config of that set."""
    return dict(
        type='ShapeNet55',
        data_root=str(root),
        split=split,
        images='optional',
        expected_count=None,
        pipeline=pipeline,
    )
