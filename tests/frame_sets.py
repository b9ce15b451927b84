"""RGB-D frames of an empty room, exact to the rounding of millimetres, in every layout."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from mm3dpretrain.structures.cameras import look_at

HALF = np.array([2.5, 2.0, 1.4])  # of the room, whose middle is the origin
SIZE = (60, 80)
CAMERA = np.array([[70.0, 0, 40], [0, 70, 30], [0, 0, 1]])


def poses(num: int = 6) -> np.ndarray:
    """(num, 4, 4) camera-to-world of somebody who turns on the spot and sways a little."""
    turn = np.linspace(0, 0.2 * num, num)
    eyes = np.stack([0.4 * np.cos(3 * turn), 0.3 * np.sin(2 * turn), 0.1 * np.sin(turn)], 1)
    ahead = np.stack([np.cos(turn), np.sin(turn), -0.2 + 0 * turn], 1)
    return np.linalg.inv(look_at(torch.tensor(eyes), torch.tensor(eyes + ahead)).numpy())


def box_depth(cam2world: np.ndarray, camera: np.ndarray = CAMERA, size=SIZE) -> np.ndarray:
    """(H, W) float64 depth along z of the walls, from the inside."""
    v, u = np.mgrid[: size[0], : size[1]] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(camera).T @ cam2world[:3, :3].T
    with np.errstate(divide='ignore'):
        # the ray has z = 1 in the camera: its factor is the depth
        reach = (np.sign(rays) * HALF - cam2world[:3, 3]) / rays
    return np.nanmin(np.where(reach > 0, reach, np.inf), -1)


def picture(cam2world: np.ndarray, camera: np.ndarray = CAMERA, size=SIZE) -> np.ndarray:
    """(H, W, 3) uint8 whose colour says where in the room a pixel is."""
    depth = box_depth(cam2world, camera, size)
    v, u = np.mgrid[: size[0], : size[1]] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(camera).T
    world = rays * depth[..., None] @ cam2world[:3, :3].T + cam2world[:3, 3]
    return np.clip(np.rint(255 * (world / HALF + 1) / 2), 0, 255).astype(np.uint8)


def save_depth(path: Path, depth: np.ndarray, scale: float = 1000) -> None:
    """uint16 PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.rint(depth * scale).astype(np.uint16))


def save_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **({'quality': 98} if path.suffix == '.jpg' else {}))


def save_matrix(path: Path, matrix: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, matrix)


def square(camera: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = camera
    return matrix


def write_exported(
    root: Path, num: int = 6, scene: str = 'scene0000_00', color_size=SIZE, shift: float = 0.0
) -> Path:
    """A scan in ScanNet's layout; ``color_size`` differs from that of the depth, if asked.

    ``shift`` is taken off the principal points, as files with centres at whole numbers have it.
    """
    folder = root / 'scans' / scene
    scale = np.diag([color_size[1] / SIZE[1], color_size[0] / SIZE[0], 1.0])
    for kind, camera in (('color', scale @ CAMERA), ('depth', CAMERA)):
        camera = camera.copy()
        camera[:2, 2] -= shift
        save_matrix(folder / 'intrinsic' / f'intrinsic_{kind}.txt', square(camera))
    for number, pose in enumerate(poses(num)):
        save_picture(folder / 'color' / f'{number}.png', picture(pose, scale @ CAMERA, color_size))
        save_depth(folder / 'depth' / f'{number}.png', box_depth(pose))
        save_matrix(folder / 'pose' / f'{number}.txt', pose)
    (root / 'splits').mkdir(exist_ok=True)
    with open(root / 'splits' / 'train.txt', 'a') as file:
        file.write(f'{scene}\n')
    return folder


def write_seven_scenes(
    root: Path, num: int = 6, suffix: str = 'png', turn: np.ndarray | None = None
) -> None:
    """Two sequences; ``turn`` (4, 4) is applied to their world."""
    for sequence in ('seq-01', 'seq-02'):
        for number, pose in enumerate(poses(num)):
            stem = root / 'kitchen' / sequence / f'frame-{number:06d}'
            save_picture(Path(f'{stem}.color.{suffix}'), picture(pose))
            save_depth(Path(f'{stem}.depth.png'), box_depth(pose))
            save_matrix(Path(f'{stem}.pose.txt'), pose if turn is None else turn @ pose)
    save_matrix(root / 'camera-intrinsics.txt', CAMERA)


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """x, y, z, w of a rotation."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(rotation).as_quat()


def write_tum(root: Path, num: int = 6) -> Path:
    """One sequence: times of the three lists differ by milliseconds."""
    folder = root / 'rgbd_dataset_freiburg1_box'
    lines = dict(rgb=['# time file'], depth=['# time file'], groundtruth=['# time pose'])
    for number, pose in enumerate(poses(num)):
        time = 100 + number / 10
        save_picture(folder / 'rgb' / f'{time:.6f}.png', picture(pose))
        save_depth(folder / 'depth' / f'{time + 0.004:.6f}.png', box_depth(pose), 5000)
        lines['rgb'].append(f'{time:.6f} rgb/{time:.6f}.png')
        lines['depth'].append(f'{time + 0.004:.6f} depth/{time + 0.004:.6f}.png')
        values = ' '.join(f'{x:.9f}' for x in (*pose[:3, 3], *quaternion(pose[:3, :3])))
        lines['groundtruth'].append(f'{time - 0.003:.6f} {values}')
    for name, rows in lines.items():
        (folder / f'{name}.txt').write_text('\n'.join(rows) + '\n')
    camera = CAMERA.copy()
    camera[:2, 2] -= 0.5
    save_matrix(folder / 'camera-intrinsics.txt', camera)
    return folder


def sens_bytes(num: int = 6, depth_compression: int = 1, color_compression: int = 2) -> bytes:
    """A ``.sens`` file of version 4; frame 3 has lost its pose."""
    camera = square(CAMERA)
    camera[:2, 2] -= 0.5
    name = b'StructureSensor'
    parts = [struct.pack('<IQ', 4, len(name)), name]
    for matrix in (camera, np.eye(4), camera, np.eye(4)):
        parts.append(matrix.astype('<f4').tobytes())
    parts.append(struct.pack('<2i', color_compression, depth_compression))
    parts.append(struct.pack('<4If', SIZE[1], SIZE[0], SIZE[1], SIZE[0], 1000.0))
    parts.append(struct.pack('<Q', num))
    for number, pose in enumerate(poses(num)):
        depth = np.rint(1000 * box_depth(pose)).astype('<u2').tobytes()
        depth = zlib.compress(depth) if depth_compression == 1 else depth
        pixels = picture(pose)
        if color_compression == 0:
            color = pixels.tobytes()
        else:
            suffix = '.jpg' if color_compression == 2 else '.png'
            color = cv2.imencode(suffix, np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes()
        pose = np.full((4, 4), -np.inf) if number == 3 else pose
        parts.append(pose.astype('<f4').tobytes())
        parts.append(struct.pack('<4Q', number, number, len(color), len(depth)))
        parts += [color, depth]
    return b''.join([*parts, struct.pack('<Q', 0)])
