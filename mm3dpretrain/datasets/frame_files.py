"""Files of RGB-D frames: poses, intrinsics, depth pictures; bad ones are named, never repaired."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .depth_maps import read_depth
from .io import SampleError

#: metres (or the unit of the set): the median of a frame's depth lies here, farther pixels are
#: dropped. Indoor sensors see to 10 m at most.
DEPTH_RANGE = (0.1, 10.0)


def read_matrix(path: str | os.PathLike, what: str) -> np.ndarray:
    """Numbers of a text file with a matrix of 3 x 3, 3 x 4 or 4 x 4.

    Returns:
        (3, 3), (3, 4) or (4, 4) float64, maybe with NaN or infinite values: the caller says what
        they mean.

    Raises:
        SampleError: if the file is missing or holds anything else.
    """
    path = os.fspath(path)
    try:
        values = np.array(Path(path).read_text(encoding='ascii').split(), np.float64)
    except FileNotFoundError:
        raise SampleError(f'{path}: there is no {what}') from None
    except (OSError, ValueError) as error:
        raise SampleError(f'{path}: cannot read the {what} ({error})') from error
    if values.size not in (9, 12, 16):
        raise SampleError(f'{path}: a {what} has 9, 12 or 16 numbers, got {values.size}')
    return values.reshape({9: (3, 3), 12: (3, 4), 16: (4, 4)}[values.size])


def check_pose(pose: np.ndarray, source: str) -> np.ndarray:
    """A camera-to-world matrix.

    Args:
        pose: (4, 4).
        source: what the message names.

    Returns:
        (4, 4) float64 with the nearest exact rotation: files have rounded numbers, and whoever
        takes the transpose for the inverse would be off by a tenth of a pixel.

    Raises:
        SampleError: for NaN or infinite values (ScanNet marks lost frames with -inf), or a matrix
            that is no rotation with a shift, as a world of another scale would be.
    """
    pose = np.asarray(pose, np.float64)
    if pose.shape != (4, 4):
        raise SampleError(f'{source}: a pose must be 4 x 4, got {pose.shape}')
    if not np.isfinite(pose).all():
        raise SampleError(f'{source}: the pose has NaN or infinite values, tracking was lost')
    rotation = pose[:3, :3]
    off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    # text files keep few digits, and 7-Scenes' rotations come from a tracker in single precision
    if off > 1e-2 or np.linalg.det(rotation) < 0 or not np.allclose(pose[3], [0, 0, 0, 1]):
        raise SampleError(
            f'{source}: the pose is no rigid motion (off by {off:.2g}): {pose.tolist()}'
        )
    left, _, right = np.linalg.svd(rotation)
    exact = np.eye(4)
    exact[:3, :3], exact[:3, 3] = left @ right, pose[:3, 3]
    return exact


def check_intrinsics(matrix: np.ndarray, source: str, shift: float = 0.0) -> np.ndarray:
    """Intrinsics of a picture in this project's convention.

    Args:
        matrix: (3, 3) or (4, 4).
        source: what the message names.
        shift: added to the principal point; 0.5 for calibrations whose pixel centres are at whole
            numbers.

    Returns:
        (3, 3) float64: (0, 0) is the outer corner of the first pixel.

    Raises:
        SampleError: for values that are not finite, or focal lengths that are not positive.
    """
    matrix = np.array(np.asarray(matrix, np.float64)[:3, :3])
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or min(np.diag(matrix)) <= 0:
        raise SampleError(f'{source}: not the intrinsics of a camera: {matrix.tolist()}')
    matrix[:2, 2] += shift
    return matrix


def read_frame_depth(
    path: str | os.PathLike,
    scale: float,
    depth_range: tuple[float, float] = DEPTH_RANGE,
    rotated_bits: int = 0,
) -> np.ndarray:
    """Depth of a frame, without what is beyond the reach of the sensor.

    Args:
        path: see :func:`~mm3dpretrain.datasets.depth_maps.read_depth`.
        scale: value of one metre; 1000 for millimetres.
        depth_range: the median of the measured depths must lie in it; pixels beyond its end
            become 0 (7-Scenes writes 65535 where nothing was measured).
        rotated_bits: the 16 bits of the file were rotated to the left by so many (SUN RGB-D: 3).

    Returns:
        (H, W) float32 metres along z, 0 where nothing was measured.

    Raises:
        SampleError: for a broken or empty file, or depth that is in another unit.
    """
    if rotated_bits:
        counts = read_depth(path, 1.0).astype(np.uint16)
        counts = (counts >> rotated_bits) | (counts << (16 - rotated_bits))
        depth = counts.astype(np.float32) / np.float32(scale)
    else:
        depth = read_depth(path, scale)
    near, far = depth_range
    measured = depth[(depth > 0) & (depth < np.float32(65535 / scale))]
    middle = float(np.median(measured)) if measured.size else 0.0
    if not measured.size:
        raise SampleError(f'{os.fspath(path)}: an empty depth map, no pixel has a depth')
    if not near <= middle <= far:
        raise SampleError(
            f'{os.fspath(path)}: the median depth is {middle:.4g} m with {scale:g} counts a metre, '
            f'outside of {near:g} to {far:g} m: is it stored in another unit? Set depth_scale or '
            'depth_range'
        )
    return np.where(depth <= far, depth, np.float32(0))


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """(H, W) of a picture, from its head.

    Raises:
        SampleError: if it is missing or no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError) as error:
        raise SampleError(f'{os.fspath(path)}: cannot read the picture ({error})') from error


def read_checked_depth(frame: dict, depth_range: tuple[float, float]) -> np.ndarray:
    """Depth of a frame whose files go together.

    Args:
        frame: ``img_path``, ``depth_path``, ``depth_scale``, ``cam2img`` and, where the depth
            camera is another one, ``depth_cam2img``; maybe ``rotated_bits``.
        depth_range: see :func:`read_frame_depth`.

    Returns:
        (h, w) float32.

    Raises:
        SampleError: for broken files, another unit, depth of another size than colour where both
            are said to be of one camera, or a principal point outside of its picture.
    """
    depth = read_frame_depth(
        frame['depth_path'], frame['depth_scale'], depth_range, frame.get('rotated_bits', 0)
    )
    size = picture_size(frame['img_path'])
    if 'depth_cam2img' not in frame and size != depth.shape:
        raise SampleError(
            f'{frame["depth_path"]}: depth is {depth.shape}, colour {size}, and the set has one '
            'camera for both: give the intrinsics of the depth camera'
        )
    pairs = (('cam2img', size), ('depth_cam2img', depth.shape))
    for key, (height, width) in pairs:
        matrix = frame.get(key)
        if matrix is not None and not (0 < matrix[0, 2] < width and 0 < matrix[1, 2] < height):
            raise SampleError(
                f'{frame["img_path"]}: the principal point {matrix[:2, 2].tolist()} ({key}) lies '
                f'outside of its picture of {height} x {width}: intrinsics of another size?'
            )
    return depth


def upright(down: np.ndarray) -> np.ndarray:
    """The smallest rotation (4, 4) after which gravity, ``down`` (3,), points to -z.

    Raises:
        ValueError: for a direction of no length.
    """
    down = np.asarray(down, np.float64)
    length = float(np.linalg.norm(down))
    if not np.isfinite(length) or length < 1e-6:
        raise ValueError(f'the direction of gravity must have a length, got {down.tolist()}')
    source, target = down / length, np.array([0.0, 0.0, -1.0])
    axis, cosine = np.cross(source, target), float(source @ target)
    matrix = np.eye(4)
    if cosine < -1 + 1e-9:  # upside down: half a turn about x
        matrix[1, 1] = matrix[2, 2] = -1.0
        return matrix
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    matrix[:3, :3] = np.eye(3) + cross + cross @ cross / (1 + cosine)
    return matrix
