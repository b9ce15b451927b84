"""Files of rendered views: the ShapeNetRendering layout and the frames of an RGB-D scan."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from ..structures.cameras import Cameras, look_at
from .io import atomic_path

DEPTH_LIMIT = 2**16 - 1
MILLIMETRES = 1000  # counts of a frame's depth picture in a unit of the scene


def save_png(path: str | os.PathLike, pixels: np.ndarray) -> None:
    """Write a PNG file of (H, W, 3), (H, W, 4) uint8 or (H, W) uint16.

    Compressed quickly: smaller files would cost as much time as rendering.
    """
    from PIL import Image

    mode = 'I;16' if pixels.dtype == np.uint16 else None
    if mode:
        image = Image.frombytes(mode, pixels.shape[::-1], pixels.astype('<u2').tobytes())
    else:
        image = Image.fromarray(pixels)
    image.save(path, format='PNG', compress_level=1)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is either there completely or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_cameras(path: str | os.PathLike, cameras: Cameras, **more) -> None:
    """Write ``cameras.npz`` of V cameras of one sample, as ``LoadView`` reads it.

    Args:
        path: of the file.
        cameras: B = 1.
        **more: further arrays or numbers to keep beside them.
    """
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            extrinsics=cameras.extrinsics[0].numpy(),
            intrinsics=cameras.intrinsics[0].numpy(),
            image_size=np.array(cameras.image_size),
            projection=np.array(cameras.projection),
            **more,
        )


def view_names(num_views: int) -> list[str]:
    """Names of the views without suffix, '00', '01', ...: sorting keeps the order."""
    digits = max(2, len(str(num_views - 1)))
    return [f'{view:0{digits}d}' for view in range(num_views)]


def camera_metadata(cameras: Cameras, target: np.ndarray) -> np.ndarray:
    """Rows of ``rendering_metadata.txt``: azimuth, elevation, in-plane turn, distance, angle.

    The camera of azimuth a and elevation e is at ``target + d (cos e cos a, sin e, cos e sin a)``,
    +y is up; a turned camera shows the world turned clockwise by the third number.

    Args:
        cameras: V cameras of one sample that look at ``target``.
        target: (3,) what they look at.

    Returns:
        (V, 5) float64: degrees, distance in the unit of the world; the angle of view, over the
        shorter side, is 0 for orthographic cameras.
    """
    extrinsics = cameras.extrinsics[0].double()
    eyes = cameras.centers[0].double() - torch.as_tensor(target)
    distance = eyes.norm(dim=1)
    azimuth = torch.rad2deg(torch.atan2(eyes[:, 2], eyes[:, 0])) % 360
    elevation = torch.rad2deg(torch.asin((eyes[:, 1] / distance).clamp(-1, 1)))
    upright = look_at(eyes, up=torch.tensor([0.0, 1.0, 0.0]))
    right = (extrinsics[:, 0, :3, None] * upright[:, :2, :3].mT).sum(1)
    turn = torch.rad2deg(torch.atan2(-right[:, 1], right[:, 0]))
    angle = torch.zeros_like(distance)
    if cameras.projection == 'perspective':
        focal = cameras.intrinsics[0, :, 0, 0].double()
        angle = 2 * torch.rad2deg(torch.atan(min(cameras.image_size) / 2 / focal))
    return torch.stack([azimuth, elevation, turn, distance, angle], 1).numpy()


def write_rendering(
    folder: Path,
    rgba: np.ndarray,
    cameras: Cameras,
    metadata: np.ndarray,
    depth: np.ndarray | None = None,
    depth_scale: float = 1.0,
) -> None:
    """Write the folder ``rendering`` of a model, as 3D-R2N2 has it, with ``cameras.npz`` added.

    ``renderings.txt`` is written last: where it lies the pictures are complete.

    Args:
        folder: made if needed.
        rgba: (V, H, W, 4) uint8 for ``00.png`` ...
        cameras: V cameras of one sample.
        metadata: (V, 5), see :func:`camera_metadata`.
        depth: (V, H, W) along z, 0 for background, for ``00_depth.png`` ... (uint16), or None.
        depth_scale: unit of ``depth`` in one count of these pictures; kept in ``cameras.npz``.
    """
    names = view_names(len(rgba))
    for view, name in enumerate(names):
        with atomic_path(folder / f'{name}.png') as temporary:
            save_png(temporary, rgba[view])
        if depth is not None:
            with atomic_path(folder / f'{name}_depth.png') as temporary:
                save_png(temporary, encode_depth(depth[view], depth_scale))
    more = {} if depth is None else dict(depth_scale=np.float64(depth_scale))
    write_cameras(folder / 'cameras.npz', cameras, **more)
    rows = [' '.join(f'{value:.6f}' for value in row) for row in metadata]
    write_text(folder / 'rendering_metadata.txt', '\n'.join(rows) + '\n')
    write_text(folder / 'renderings.txt', ''.join(f'{name}.png\n' for name in names))


def encode_depth(depth: np.ndarray, scale: float) -> np.ndarray:
    """Depth in counts of ``scale``, uint16; what is seen has at least 1, background 0."""
    counts = np.rint(depth / scale)
    return np.where(depth > 0, np.clip(counts, 1, DEPTH_LIMIT), 0).astype(np.uint16)


def write_frames(folder: Path, rgb: np.ndarray, depth: np.ndarray, cameras: Cameras) -> None:
    """Write views as the frames of a scanned scene, as ScanNet's are extracted.

    ``color/000000.png``, ``depth/000000.png`` (uint16, 1000 counts a unit, 0 is missing),
    ``pose/000000.txt`` (camera to world), ``intrinsic/{intrinsic,extrinsic}_{color,depth}.txt``;
    all matrices are 4 x 4. Colour and depth are of the same camera.

    Args:
        folder: of the scene.
        rgb: (V, H, W, 3) uint8.
        depth: (V, H, W) along z in the unit of the world, 0 for background.
        cameras: V perspective cameras of one sample with equal intrinsics.

    Raises:
        ValueError: for orthographic cameras or different intrinsics, which this layout cannot say.
    """
    intrinsics = cameras.intrinsics[0].double().numpy()
    if cameras.projection != 'perspective':
        raise ValueError(
            'frames of a scan are perspective: there is no place for orthographic ones'
        )
    if not np.allclose(intrinsics, intrinsics[:1]):
        raise ValueError('frames of a scan share one camera, but the intrinsics differ')
    for part in ('color', 'depth', 'pose', 'intrinsic'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for kind in ('color', 'depth'):
        matrix = np.eye(4)
        matrix[:3, :3] = intrinsics[0]
        np.savetxt(folder / 'intrinsic' / f'intrinsic_{kind}.txt', matrix, fmt='%.9g')
        np.savetxt(folder / 'intrinsic' / f'extrinsic_{kind}.txt', np.eye(4), fmt='%.9g')
    for view, extrinsic in enumerate(cameras.extrinsics[0].double().numpy()):
        name = f'{view:06d}'
        save_png(folder / 'color' / f'{name}.png', rgb[view])
        save_png(folder / 'depth' / f'{name}.png', encode_depth(depth[view], 1 / MILLIMETRES))
        np.savetxt(folder / 'pose' / f'{name}.txt', np.linalg.inv(extrinsic), fmt='%.9g')
