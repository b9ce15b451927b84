"""Transforms that read points and views of a record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ...registry import TRANSFORMS
from ...structures import Cameras
from ..io import READ_ERRORS, SampleError, check_cloud, read_image, read_npy, read_row
from ..mesh_io import read_cloud
from .base import NORMAL, RGB, XYZ, BaseTransform

ATTRIBUTES = {'rgb': RGB, 'normal': NORMAL}
# what stands for 1 in the integer types that files use for colours and normals
_FULL_SCALE = {np.dtype(np.uint8): 255, np.dtype(np.int8): 127}


@TRANSFORMS.register_module()
class LoadPoints(BaseTransform):
    """Read the points of a record and, on demand, colour, normal and part of every point.

    Adds ``points`` (N, C) float32 and ``point_channels`` (names of the C columns); with ``part``
    also ``gt_part`` (N,) int64.

    Args:
        attributes: which of 'rgb', 'normal' follow xyz, in this order. Colours are scaled to
            [0, 1].
        load_part: add ``gt_part``.

    Raises:
        SampleError: if the file is broken, the cloud is empty or not finite, or an attribute that
            was asked for is not there.
        ValueError: for an unknown attribute.
    """

    def __init__(self, attributes: Sequence[str] = (), load_part: bool = False) -> None:
        unknown = set(attributes) - set(ATTRIBUTES)
        if unknown:
            raise ValueError(f'attributes must be of {list(ATTRIBUTES)}, got {sorted(unknown)}')
        self.attributes = tuple(attributes)
        self.load_part = load_part

    def transform(self, results: dict) -> dict:
        cloud, source = self._read(results)
        points = check_cloud(cloud['points'], source)
        channels = XYZ
        columns = [points[:, :3]]
        wanted = [*self.attributes, *(['part'] if self.load_part else [])]
        extra = self._read_attributes(results, cloud, wanted, source) if wanted else {}
        for name in wanted:
            if len(extra[name]) != len(points):
                raise SampleError(
                    f'{source}: {len(points)} points but {len(extra[name])} values of {name!r}'
                )
        for name in self.attributes:
            column = extra[name]
            if column.ndim != 2 or column.shape[1] != 3:
                raise SampleError(f'{source}: {name!r} must be (N, 3), got {column.shape}')
            scale = _FULL_SCALE.get(column.dtype, 1)
            columns.append(column.astype(np.float32) / scale)
            channels += ATTRIBUTES[name]
        results['points'] = np.concatenate(columns, axis=1)
        results['point_channels'] = channels
        if self.load_part:
            results['gt_part'] = extra['part'].astype(np.int64).reshape(len(points))
        return results

    @staticmethod
    def _read(results: dict) -> tuple[dict[str, np.ndarray], str]:
        """Arrays of the record's cloud and the name that errors shall use."""
        if 'points' in results:
            return {'points': results['points']}, f'sample {results.get("sample_id", "?")}'
        path = results['points_path']
        if 'points_index' in results:
            index = results['points_index']
            return {'points': read_row(path, index)}, f'{path}[{index}]'
        if 'mesh_points' in results:
            cloud = read_cloud(
                path, results['mesh_points'], results.get('seed', 0), results.get('cache_dir')
            )
            return cloud, path
        return {'points': read_npy(path)}, path

    @staticmethod
    def _read_attributes(
        results: dict, cloud: dict[str, np.ndarray], wanted: list[str], source: str
    ) -> dict[str, np.ndarray]:
        found = {name: value for name, value in cloud.items() if name != 'points'}
        # columns behind xyz, in files such as ModelNet's resampled ones
        for name, columns in results.get('extra_columns', {}).items():
            found[name] = cloud['points'][:, columns[0] : columns[1]]
        for name, path in results.get('attribute_rows', {}).items():
            if name in wanted:
                found[name] = read_row(path, results['points_index'])
        for name in set(wanted) - set(found):
            if results.get('attributes_path') is None:
                raise SampleError(
                    f'{source}: has no {name!r} (it has {sorted(found) or "points only"}); take '
                    f'it out of LoadPoints, or use a data set with it'
                )
            found[name] = read_npy(results['attributes_path'], key=name)
        return found


@TRANSFORMS.register_module()
class LoadView(BaseTransform):
    """Read one or several rendered views of a record.

    Adds ``img`` (H, W, 3) uint8 RGB, or (V, H, W, 3) for ``num_views > 1``; ``view_index``; and
    ``cameras`` (B = 1, V views) where the record has them. Cameras are those of the frame in which
    the points are stored.

    Args:
        num_views: how many views, without repetition.
        which: 'random' draws anew for every access; 'first' or an int starts there and takes
            views in order, for tests and evaluation.
        background: RGB that transparent pixels show, or None to drop the alpha channel; see
            :func:`~mm3dpretrain.datasets.io.read_image`.
        load_cameras: False leaves the cameras out.

    Raises:
        SampleError: if the record has too few views, or a file is missing or broken.
        ValueError: for a wrong ``num_views`` or ``which``.
    """

    def __init__(
        self,
        num_views: int = 1,
        which: str | int = 'random',
        background: Sequence[int] | None = (255, 255, 255),
        load_cameras: bool = True,
    ) -> None:
        if num_views < 1:
            raise ValueError(f'num_views must be positive, got {num_views}')
        if not isinstance(which, int) and which not in ('random', 'first'):
            raise ValueError(f"which must be 'random', 'first' or an int, got {which!r}")
        self.num_views = num_views
        self.which = 0 if which == 'first' else which
        self.background = background
        self.load_cameras = load_cameras

    def transform(self, results: dict) -> dict:
        if 'views_path' in results:
            views = read_views(results['views_path'], results['views_index'])
            index = self._choose(len(views), results)
            images = [np.array(views[i]) for i in index]
            ids = index
        else:
            paths = results.get('img_paths', [])
            index = self._choose(len(paths), results)
            images = [read_image(paths[i], self.background) for i in index]
            ids = [_view_id(paths[i], i) for i in index]
        if len({image.shape for image in images}) > 1:
            raise SampleError(f'views of different size: {[image.shape for image in images]}')
        results['img'] = images[0] if self.num_views == 1 else np.stack(images)
        results['view_index'] = ids
        path = results.get('camera_path')
        if self.load_cameras and path is not None:
            cameras = read_cameras(path)
            if max(ids) >= cameras.num_views:
                raise SampleError(f'{path}: {cameras.num_views} cameras, view {max(ids)} wanted')
            cameras = cameras.select_views(list(ids))
            if cameras.image_size != images[0].shape[:2]:
                cameras = cameras.rescale(images[0].shape[:2])
            results['cameras'] = cameras
        return results

    def _choose(self, available: int, results: dict) -> list[int]:
        if available < self.num_views:
            where = results.get('img_dir') or results.get('views_path') or 'the record'
            raise SampleError(f'missing view: {self.num_views} wanted, {where} has {available}')
        if self.which == 'random':
            return np.random.choice(available, self.num_views, replace=False).tolist()
        if self.which + self.num_views > available:
            raise SampleError(
                f'missing view: views {self.which} to {self.which + self.num_views - 1} wanted, '
                f'there are {available}'
            )
        return list(range(self.which, self.which + self.num_views))


def _view_id(path: str, position: int) -> int:
    """Number of a view: its file name ('07.png'), else its place in the sorted list."""
    stem = Path(path).stem
    return int(stem) if stem.isdigit() else position


def read_views(path: str, index: int) -> np.ndarray:
    """Row ``index`` of a stacked view file as a map, (V, H, W, 3) uint8; nothing is read yet.

    Raises:
        SampleError: if the file is broken or the row does not exist.
    """
    return read_row(path, index, copy=False)


@lru_cache(maxsize=256)
def _read_cameras(path: str, mtime: int) -> Cameras:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Cameras(
                torch.from_numpy(arrays['extrinsics'].astype(np.float32))[None],
                torch.from_numpy(arrays['intrinsics'].astype(np.float32))[None],
                tuple(int(s) for s in arrays['image_size']),
                str(arrays['projection']),
            )
    except (*READ_ERRORS, KeyError) as error:
        raise SampleError(f'{path}: cannot read the cameras ({error})') from error


def read_cameras(path: str | os.PathLike) -> Cameras:
    """Read ``cameras.npz`` (``extrinsics`` (V, 4, 4), ``intrinsics`` (V, 3, 3), ...), B = 1.

    Raises:
        SampleError: if the file is missing or broken.
    """
    path = os.fspath(path)
    try:
        mtime = os.stat(path).st_mtime_ns
    except OSError as error:
        raise SampleError(f'{path}: cannot read the cameras ({error})') from error
    return _read_cameras(path, mtime)
