"""Cameras at poses that a user gives, as arrays or files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mm3dpretrain.registry import TASK_UTILS
from mm3dpretrain.structures import Cameras

from .views import ViewSet

ArrayOrFile = np.ndarray | torch.Tensor | Sequence | str | os.PathLike


def pose_views(
    poses: ArrayOrFile,
    intrinsics: ArrayOrFile | None = None,
    image_size: int | tuple[int, int] | None = None,
    camera_to_world: bool | None = None,
    projection: str | None = None,
) -> Cameras:
    """Cameras with given poses, in the OpenCV convention (x right, y down, z forward).

    Args:
        poses: (V, 4, 4), (V, 3, 4), or one matrix without V; an array, nested lists, or a file:

            - ``.npy``: such an array,
            - ``.txt``: the matrices one below the other, 4 numbers a row; or one 3 x 4 or 4 x 4
              matrix a line, row by row (KITTI's odometry),
            - ``.npz``: ``extrinsics``, world-to-camera, or ``poses``, camera-to-world; whatever is
              not given is read from ``intrinsics``, ``image_size`` and ``projection``. The
              ``cameras.npz`` of this toolbox's converters are such files.
        intrinsics: (3, 3) or (V, 3, 3) in pixels, also the upper left of (4, 4); an array or file.
        image_size: side or (H, W) in pixels.
        camera_to_world: whether poses map from the camera to the world (ScanNet's pose files,
            most trajectories) or from the world to the camera. Has to be said, except for
            ``.npz``, whose keys say it.
        projection: 'perspective' (default) or 'orthographic'.

    Returns:
        float32 cameras with B = 1.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if something is missing, has a wrong shape, or is no rigid motion or no
            camera; names the view.
    """
    given = dict(intrinsics=intrinsics, image_size=image_size, projection=projection)
    source = poses if isinstance(poses, (str, os.PathLike)) else 'poses'
    poses = _read(poses)
    if isinstance(poses, Mapping):
        given = {k: poses.get(k) if v is None else v for k, v in given.items()}
        key = 'extrinsics' if 'extrinsics' in poses else 'poses'
        if key not in poses:
            raise ValueError(f"{source} has neither 'extrinsics' nor 'poses': {sorted(poses)}")
        if camera_to_world not in (None, key == 'poses'):
            raise ValueError(f'camera_to_world={camera_to_world}, but {source} has {key!r}')
        poses, camera_to_world = poses[key], key == 'poses'
    if camera_to_world is None:
        raise ValueError(
            f'{source}: say with camera_to_world whether the matrices map from the camera to the '
            'world (True) or from the world to the camera (False)'
        )
    for name in ('intrinsics', 'image_size'):
        if given[name] is None:
            raise ValueError(f'{source}: {name} are missing: give them')
    matrices = _rigid(_matrices(poses, source), source)
    if camera_to_world:
        matrices = np.linalg.inv(matrices)
    size = np.array(given['image_size']).reshape(-1).astype(int).tolist()
    cameras = Cameras(
        torch.from_numpy(matrices).float()[None],
        torch.from_numpy(_intrinsics(given['intrinsics'], len(matrices))).float()[None],
        (size[0], size[-1]),
        str(given['projection'] if given['projection'] is not None else 'perspective'),
    )
    return cameras


@TASK_UTILS.register_module()
class PoseViews(ViewSet):
    """:func:`pose_views` from a config; takes its arguments."""

    def __call__(self, generator: torch.Generator | None = None) -> Cameras:
        """The cameras (B = 1); always the same, ``generator`` is not needed."""
        return pose_views(**self.settings)


def _read(value: ArrayOrFile) -> np.ndarray | dict[str, np.ndarray]:
    """Array, or arrays of an ``.npz``, as float64 where numeric."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if not isinstance(value, (str, os.PathLike)):
        return np.asarray(value, np.float64)
    path = Path(value)
    if not path.is_file():
        raise FileNotFoundError(f'no camera file at {path}')
    try:
        if path.suffix == '.npz':
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        if path.suffix == '.npy':
            return np.load(path, allow_pickle=False).astype(np.float64)
        if path.suffix == '.txt':
            return np.loadtxt(path, ndmin=2)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f'cannot read cameras from {path}: {error}') from error
    raise ValueError(f'camera files end in .npy, .npz or .txt, got {path}')


def _matrices(poses: np.ndarray, source) -> np.ndarray:
    """(V, 4, 4) of all accepted layouts."""
    shape = poses.shape
    if poses.ndim == 2 and shape[1] in (12, 16):
        poses = poses.reshape(len(poses), -1, 4)
    elif poses.ndim == 2 and shape[1] == 4 and len(poses) == 3:
        poses = poses[None]
    elif poses.ndim == 2 and shape[1] == 4 and len(poses) % 4 == 0:
        poses = poses.reshape(-1, 4, 4)
    if poses.ndim != 3 or poses.shape[1:] not in ((3, 4), (4, 4)) or len(poses) == 0:
        raise ValueError(f'{source}: poses must be (V, 4, 4) or (V, 3, 4), got {shape}')
    last = np.array([0.0, 0.0, 0.0, 1.0])
    if poses.shape[1] == 3:
        return np.concatenate([poses, np.broadcast_to(last, (len(poses), 1, 4))], 1)
    wrong = ~np.isclose(poses[:, 3], last, atol=1e-6).all(-1)
    if wrong.any():
        view = int(np.argmax(wrong))
        raise ValueError(
            f'{source}: the last row of view {view} must be 0 0 0 1, got {poses[view, 3].tolist()}'
        )
    return poses


def _rigid(matrices: np.ndarray, source) -> np.ndarray:
    """The matrices with rotations that are orthogonal to the last digit."""
    for view, matrix in enumerate(matrices):
        rotation = matrix[:3, :3]
        if not np.isfinite(matrix).all():
            raise ValueError(
                f'{source}: view {view} is not finite (ScanNet marks lost frames so): leave it out'
            )
        error = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if error > 1e-3 or np.linalg.det(rotation) < 0:
            raise ValueError(
                f'{source}: the upper left of view {view} is no rotation (R R^T is off by '
                f'{error:.3g}, det R = {np.linalg.det(rotation):.4g}): {rotation.tolist()}'
            )
    # files are often rounded: take the nearest rotation
    left, _, right = np.linalg.svd(matrices[:, :3, :3])
    matrices = matrices.copy()
    matrices[:, :3, :3] = left @ right
    return matrices


def _intrinsics(value: ArrayOrFile, num_views: int) -> np.ndarray:
    """(V, 3, 3)."""
    array = _read(value)
    if isinstance(array, Mapping):
        raise ValueError(f'intrinsics must be an array, .npy or .txt, got {value}')
    found = array.shape
    if array.shape[-2:] == (4, 4):
        array = array[..., :3, :3]
    if array.shape[-2:] != (3, 3) or array.shape[:-2] not in ((), (num_views,)):
        raise ValueError(f'intrinsics must be (3, 3) or ({num_views}, 3, 3), got {found}')
    focal = array[..., [0, 1], [0, 1]]
    if not np.isfinite(array).all() or (focal == 0).any():
        raise ValueError(f'intrinsics must be finite with focal lengths, got {array.tolist()}')
    return np.array(np.broadcast_to(array, (num_views, 3, 3)))
