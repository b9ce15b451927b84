"""Pictures beside LiDAR scans, and the packing of both.

``imgs`` is a list of (h, w, 3) uint8 RGB, one a camera, maybe of different size; ``img_shape`` the
list of their (h, w); ``lidar2img`` (V, 4, 4) float64 projects the scan, as it lies in the file, to
the pixels of the pictures as they are now. Every transform that moves pixels changes it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from ...registry import TRANSFORMS
from ..io import SampleError, read_image
from .base import BaseTransform, check_probability
from .images import ColorJitterView
from .lidar import points_in_pictures
from .packing import start_sample

META_KEYS = ('sample_id', 'scene', 'lidar_path', 'img_flipped', 'depth_stride')


@TRANSFORMS.register_module()
class LoadPictures(BaseTransform):
    """Read the pictures of a record.

    Adds ``imgs``, ``img_shape`` and ``lidar2img``; ``images`` of the record is reduced to the
    cameras that were read.

    Args:
        num_cameras: so many of them, drawn at random in the order of the record; default all.

    Raises:
        SampleError: for a broken picture, or fewer cameras.
    """

    def __init__(self, num_cameras: int | None = None) -> None:
        if num_cameras is not None and num_cameras < 1:
            raise ValueError(f'num_cameras must be positive or None, got {num_cameras}')
        self.num_cameras = num_cameras

    def transform(self, results: dict) -> dict:
        images = results['images']
        if self.num_cameras is not None:
            if len(images) < self.num_cameras:
                raise SampleError(
                    f'{results["sample_id"]}: {self.num_cameras} cameras wanted, the frame has '
                    f'{[image["camera"] for image in images]}'
                )
            chosen = np.random.choice(len(images), self.num_cameras, replace=False)
            images = [images[i] for i in np.sort(chosen)]
        results['images'] = images
        results['imgs'] = [read_image(image['img_path']) for image in images]
        results['img_shape'] = [picture.shape[:2] for picture in results['imgs']]
        results['lidar2img'] = np.stack([image['lidar2img'] for image in images])
        return results


def _move_pixels(results: dict, view: int, picture: np.ndarray, matrix: np.ndarray) -> None:
    """Replace a picture; ``matrix`` (3, 3) takes old pixel positions (u, v, 1) to new ones."""
    results['imgs'][view] = picture
    results['img_shape'][view] = picture.shape[:2]
    results['lidar2img'][view, :3] = matrix @ results['lidar2img'][view, :3]


@TRANSFORMS.register_module()
class ResizePictures(BaseTransform):
    """Resize the pictures; those of a frame to the same limits.

    Args:
        size: (H, W) to fit into.
        max_size: (H, W); if given, the limits are drawn uniformly between ``size`` and
            ``max_size``, height and width independently, as mmdet's 'range' mode does. SimIPU:
            (192, 640) to (720, 2400).
        keep_ratio: scale both sides alike, to the largest picture that fits; False gives exactly
            the size.

    Raises:
        ValueError: for a non-positive or falling range.
    """

    def __init__(
        self,
        size: tuple[int, int],
        max_size: tuple[int, int] | None = None,
        keep_ratio: bool = True,
    ) -> None:
        self.size = tuple(size)
        self.max_size = self.size if max_size is None else tuple(max_size)
        if min(self.size) < 1 or any(a > b for a, b in zip(self.size, self.max_size)):
            raise ValueError(f'need positive (H, W) up to max_size, got {size} and {max_size}')
        self.keep_ratio = keep_ratio

    def transform(self, results: dict) -> dict:
        limits = [np.random.randint(a, b + 1) for a, b in zip(self.size, self.max_size)]
        for view, picture in enumerate(results['imgs']):
            height, width = picture.shape[:2]
            target = tuple(limits)
            if self.keep_ratio:
                factor = min(limits[0] / height, limits[1] / width)
                target = tuple(max(1, int(side * factor + 0.5)) for side in (height, width))
            if target == (height, width):
                continue
            shrinks = target[0] <= height and target[1] <= width
            mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            resized = cv2.resize(picture, target[::-1], None, 0, 0, mode)
            # a pixel is a square from (j, i) to (j + 1, i + 1): positions scale, nothing shifts
            scale = np.diag([target[1] / width, target[0] / height, 1.0])
            _move_pixels(results, view, resized, scale)
        return results


@TRANSFORMS.register_module()
class CropPictures(BaseTransform):
    """Cut a part out of each picture; sides that are not longer than the part stay.

    Args:
        size: (H, W) of the part.
        where: 'random', each camera by itself; or 'bottom', the middle of the lowest rows: at the
            top there is sky, which the LiDAR does not see.

    Raises:
        ValueError: for a non-positive size or another place.
    """

    def __init__(self, size: tuple[int, int], where: str = 'random') -> None:
        if min(size) < 1 or where not in ('random', 'bottom'):
            raise ValueError(f"need a positive size and 'random' or 'bottom', got {size}, {where}")
        self.size = tuple(size)
        self.where = where

    def transform(self, results: dict) -> dict:
        for view, picture in enumerate(results['imgs']):
            height, width = picture.shape[:2]
            spare = (max(0, height - self.size[0]), max(0, width - self.size[1]))
            if self.where == 'random':
                top, left = (np.random.randint(0, side + 1) for side in spare)
            else:
                top, left = spare[0], spare[1] // 2
            part = picture[top : top + self.size[0], left : left + self.size[1]]
            shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64)
            _move_pixels(results, view, np.ascontiguousarray(part), shift)
        return results


@TRANSFORMS.register_module()
class FlipPictures(BaseTransform):
    """Mirror all pictures of the frame left to right: u becomes w - u. Adds ``img_flipped``.

    Args:
        prob: probability in [0, 1].

    Raises:
        ValueError: for another probability.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = check_probability(prob)

    def transform(self, results: dict) -> dict:
        results['img_flipped'] = bool(np.random.random() < self.prob)
        if results['img_flipped']:
            for view, picture in enumerate(results['imgs']):
                mirror = np.array([[-1, 0, picture.shape[1]], [0, 1, 0], [0, 0, 1]], np.float64)
                _move_pixels(results, view, np.ascontiguousarray(picture[:, ::-1]), mirror)
        return results


@TRANSFORMS.register_module()
class JitterPictures(ColorJitterView):
    """Change brightness, contrast and saturation of each picture by its own factors.

    Arguments as in :class:`~mm3dpretrain.datasets.transforms.images.ColorJitterView`. SimIPU has
    no colour jitter.
    """

    def transform(self, results: dict) -> dict:
        jitter = super().transform
        results['imgs'] = [jitter({'img': picture})['img'] for picture in results['imgs']]
        return results


@TRANSFORMS.register_module()
class PackPairs(BaseTransform):
    """Make tensors and a :class:`~mm3dpretrain.structures.PretrainDataSample`.

    Returns ``dict(inputs, data_samples)``; ``inputs`` has

    - ``points`` (N, C) float32 and, after :class:`~.lidar.TwoViewPoints`, ``points_aug`` (N, C) and
      ``transform`` (4, 4) float32;
    - ``img`` (V, 3, H, W) uint8 RGB: pictures of different size are padded at the right and the
      bottom to the largest;
    - ``lidar2img`` (V, 4, 4) float32; ``img_shape`` (V, 2) int64, (h, w) before padding;
    - ``depth`` (V, h, w) float32 where :class:`~.lidar.LidarDepth` made it.

    Meta information: ``sample_id``, ``scene``, ``lidar_path``, ``camera_names``, ``img_paths``,
    ``img_flipped``, ``depth_stride``.

    Args:
        min_in_picture: a frame with fewer points of ``points`` in its pictures is broken: it has
            nothing to learn from.

    Raises:
        SampleError: for such a frame.
        ValueError: if points or pictures are not loaded.
    """

    def __init__(self, min_in_picture: int = 1) -> None:
        if min_in_picture < 0:
            raise ValueError(f'min_in_picture must not be negative, got {min_in_picture}')
        self.min_in_picture = min_in_picture

    def transform(self, results: dict) -> dict:
        if 'points' not in results or 'imgs' not in results:
            raise ValueError('PackPairs: put LoadLidar and LoadPictures before it')
        points, shapes = results['points'], results['img_shape']
        points_in_pictures(results, self.min_in_picture)  # for its SampleError
        size = np.max(shapes, axis=0)
        canvas = np.zeros((len(shapes), *size, 3), np.uint8)
        for picture, (height, width), part in zip(results['imgs'], shapes, canvas):
            part[:height, :width] = picture
        arrays = dict(
            points=points.astype(np.float32),
            img=canvas.transpose(0, 3, 1, 2),
            lidar2img=results['lidar2img'].astype(np.float32),
            img_shape=np.array(shapes, np.int64),
        )
        for key in ('points_aug', 'transform', 'depth'):
            if key in results:
                arrays[key] = results[key].astype(np.float32)
        sample = start_sample(results, META_KEYS)
        names = [image['camera'] for image in results['images']]
        paths = [image['img_path'] for image in results['images']]
        sample.set_field(names, 'camera_names', field_type='metainfo')
        sample.set_field(paths, 'img_paths', field_type='metainfo')
        inputs = {key: torch.from_numpy(np.ascontiguousarray(a)) for key, a in arrays.items()}
        return dict(inputs=inputs, data_samples=sample)
