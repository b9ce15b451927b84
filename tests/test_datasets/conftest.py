"""Tiny data sets in the real layouts, written into the test's folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

OFF_CUBE = """OFF
8 12 0
-1 -1 -1
1 -1 -1
1 1 -1
-1 1 -1
-1 -1 1
1 -1 1
1 1 1
-1 1 1
3 0 2 1
3 0 3 2
3 4 5 6
3 4 6 7
3 0 1 5
3 0 5 4
3 2 3 7
3 2 7 6
3 0 4 7
3 0 7 3
3 1 2 6
3 1 6 5
"""


@pytest.fixture
def off_cube() -> str:
    """A cube from -1 to 1 as OFF text: 8 vertices, 12 faces."""
    return OFF_CUBE


def write_cloud(path: Path, seed: int, num: int = 256) -> np.ndarray:
    """A cloud in the unit sphere, saved as ``.npy``."""
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (num, 3)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, points)
    return points


def write_views(folder: Path, num: int = 3, size: int = 16, cameras: bool = False) -> None:
    """RGBA pictures 00.png ... whose colour names the view; maybe with cameras."""
    folder.mkdir(parents=True, exist_ok=True)
    for view in range(num):
        pixels = np.zeros((size, size, 4), np.uint8)
        pixels[4:-4, 4:-4] = (10 * view, 100, 200, 255)
        Image.fromarray(pixels).save(folder / f'{view:02d}.png')
    if cameras:
        extrinsics = np.tile(np.eye(4, dtype=np.float32), (num, 1, 1))
        extrinsics[:, 2, 3] = 2 + np.arange(num)
        intrinsics = np.tile(
            np.float32([[20, 0, size / 2], [0, 20, size / 2], [0, 0, 1]]), (num, 1, 1)
        )
        np.savez(
            folder / 'cameras.npz',
            extrinsics=extrinsics,
            intrinsics=intrinsics,
            image_size=np.array([size, size]),
            projection=np.array('perspective'),
        )


@pytest.fixture
def shapenet_root(tmp_path) -> Path:
    """ShapeNet-55 with 4 planes (pictures), 3 chairs (none); 5 train, 2 test."""
    root = tmp_path / 'shapenet'
    names = []
    for synset, count in (('02691156', 4), ('03001627', 3)):
        for i in range(count):
            name = f'{synset}-u{i}-part-b'
            write_cloud(root / 'ShapeNet55-34' / 'shapenet_pc' / f'{name}.npy', seed=len(names))
            names.append(name + '.npy')
            if synset == '02691156':
                folder = root / 'ShapeNetRendering' / synset / f'u{i}-part-b' / 'rendering'
                write_views(folder, cameras=i == 0)
    lists = root / 'ShapeNet55-34' / 'ShapeNet-55'
    lists.mkdir()
    (lists / 'train.txt').write_text('\n'.join(names[:5]) + '\n')
    (lists / 'test.txt').write_text('\n'.join(names[5:]) + '\n')
    return root


@pytest.fixture
def modelnet_root(tmp_path) -> Path:
    """ModelNet in OFF folders: chair and night_stand, 2 training and 1 test meshes each."""
    root = tmp_path / 'modelnet'
    for name in ('night_stand', 'chair'):
        for split, numbers in (('train', (1, 2)), ('test', (3,))):
            folder = root / name / split
            folder.mkdir(parents=True)
            for number in numbers:
                (folder / f'{name}_{number:04d}.off').write_text(OFF_CUBE)
    return root


@pytest.fixture
def packed_root(tmp_path) -> Path:
    """A tiny ``cc0_objects``: 12 tetrahedra, red, some sharing pack and caption."""
    root = tmp_path / 'cc0_objects'
    root.mkdir()
    vertices = np.array(
        [[0, 900, 0], [-500, -500, -500], [500, -500, -500], [0, -500, 700]], np.int16
    )
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.uint16)
    count = 12
    np.savez(
        root / 'meshes.npz',
        verts=np.tile(vertices, (count, 1)),
        faces=np.tile(faces, (count, 1)),
        vert_offset=4 * np.arange(count + 1),
        face_offset=4 * np.arange(count + 1),
        scale=np.float32(1e-3),
        face_color_index=np.zeros(4 * count, np.uint16),
        palette=np.array([[255, 0, 0]], np.uint8),
    )
    meta = dict(
        pack=['pack'] * count,
        name=[f'thing_{i}' for i in range(count)],
        caption=[f'thing {i // 2}' for i in range(count)],
    )
    (root / 'meta.json').write_text(json.dumps(meta))
    return root
