"""Transforms of monocular depth: a picture, its depth map and its camera, changed together.

``img`` is (H, W, 3) uint8 RGB, ``gt_depth`` (H, W) float32 in metres along z, 0 where unknown,
``cam2img`` (3, 3), ``lidar2img`` (4, 4) where the record has one; pixel (i, j) has its centre at
(j + 0.5, i + 0.5). What moves the pixels moves both matrices, so that projecting a point always
gives the pixel that shows it (a mirrored picture has a negative focal length).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from ...registry import TRANSFORMS
from ..depth_maps import drop_occluded, project_depth, read_depth, resize_depth
from ..io import SampleError, read_image
from ..lidar_io import read_lidar
from .base import BaseTransform, check_probability
from .packing import start_sample

META_KEYS = ('sample_id', 'img_path', 'cam2img', 'img_flipped')


def _move_pixels(results: dict, move: np.ndarray) -> None:
    """Put (3, 3) in front of the camera matrices."""
    results['cam2img'] = move @ results['cam2img']
    if 'lidar2img' in results:
        whole = np.eye(4)
        whole[:3, :3] = move
        results['lidar2img'] = whole @ results['lidar2img']


def _check_same_size(results: dict, name: str) -> None:
    """A SampleError if picture and depth map do not lie on each other."""
    picture, depth = results['img'], results.get('gt_depth')
    if depth is not None and depth.shape != picture.shape[:2]:
        raise SampleError(
            f'{name}: gt_depth is {depth.shape}, the picture {picture.shape[:2]}: put it before '
            'ResizeDepth(resize_target=False)'
        )


@TRANSFORMS.register_module()
class LoadDepthImage(BaseTransform):
    """Read the picture of a record: ``img``, with the matrices as float64 arrays.

    Raises:
        SampleError: if the file is missing or broken.
    """

    def transform(self, results: dict) -> dict:
        results['img'] = read_image(results['img_path'])
        for key in ('cam2img', 'lidar2img'):
            if key in results:
                results[key] = np.asarray(results[key], np.float64)
        return results


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Read the depth map of a record: ``gt_depth``. Directly behind ``LoadDepthImage``.

    Raises:
        SampleError: if the file is missing, empty or broken, or has another size than the picture.
    """

    def transform(self, results: dict) -> dict:
        path = results.get('depth_path')
        if path is None:
            raise SampleError(
                'the record has no depth map; take LidarDepthTargets where there are sweeps'
            )
        depth = read_depth(path, results['depth_scale'])
        if depth.shape != results['img'].shape[:2]:
            raise SampleError(
                f'{path}: the depth map has {depth.shape} pixels, the picture '
                f'{results["img"].shape[:2]}'
            )
        results['gt_depth'] = depth
        return results


@TRANSFORMS.register_module()
class LidarDepthTargets(BaseTransform):
    """Depth from the LiDAR sweep of a record: ``gt_depth``.

    The sweep is projected into the picture as it is now; of several points in a pixel the nearest
    counts; what the camera cannot see is removed (:func:`~..depth_maps.drop_occluded`).

    Args:
        max_depth: farther points are left out, metres.
        window, tolerance: of ``drop_occluded``; ``window=None`` keeps all.

    Raises:
        SampleError: if the sweep is missing, truncated or not finite, or no point falls into the
            picture.
    """

    def __init__(
        self,
        max_depth: float = 80.0,
        window: tuple[int, int] | None = (7, 3),
        tolerance: float = 0.1,
    ) -> None:
        self.max_depth = max_depth
        self.window = window
        self.tolerance = tolerance

    def transform(self, results: dict) -> dict:
        path = results.get('lidar_path')
        if path is None:
            raise SampleError('the record has no LiDAR sweep; take LoadDepth where there are maps')
        # the intensities do not matter here, so any unit will do
        points = read_lidar(path, results['num_pts_feats'], intensity_scale='tanh')
        depth = project_depth(points, results['lidar2img'], results['img'].shape[:2])
        if self.window is not None:
            depth = drop_occluded(depth, self.window, self.tolerance)
        depth[depth > self.max_depth] = 0
        if not (depth > 0).any():
            raise SampleError(
                f'{path}: none of {len(points)} points falls into the picture within '
                f'{self.max_depth:g} m: is the calibration that of this frame?'
            )
        results['gt_depth'] = depth
        return results


@TRANSFORMS.register_module()
class ResizeDepth(BaseTransform):
    """Resize the picture and, unless told otherwise, the depth map.

    The map is never interpolated (:func:`~..depth_maps.resize_depth`).

    Args:
        size: (H, W) in pixels; the aspect is not kept.
        resize_target: False leaves the map as it is, for tests: ``DepthMetric`` then resizes the
            prediction to it, and the numbers are those of the full resolution.

    Raises:
        ValueError: for a size that is not positive.
    """

    def __init__(self, size: Sequence[int], resize_target: bool = True) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f'size must be (H, W), got {size}')
        self.size = tuple(size)
        self.resize_target = resize_target

    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        shrinks = self.size[0] <= height and self.size[1] <= width
        mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        results['img'] = cv2.resize(results['img'], self.size[::-1], interpolation=mode)
        if self.resize_target and 'gt_depth' in results:
            results['gt_depth'] = resize_depth(results['gt_depth'], self.size)
        _move_pixels(results, np.diag([self.size[1] / width, self.size[0] / height, 1.0]))
        return results


class _Crop(BaseTransform):
    """Cuts a box out of the picture and the depth map."""

    def crop(self, results: dict, top: int, left: int, size: Sequence[int]) -> dict:
        """``results`` with what is below ``top`` and right of ``left``, (H, W) pixels."""
        height, width = results['img'].shape[:2]
        bottom, right = top + size[0], left + size[1]
        if min(top, left) < 0 or bottom > height or right > width:
            raise SampleError(
                f'{type(self).__name__}: a picture of {height} x {width} is too small for a crop '
                f'of {size[0]} x {size[1]} at row {top}, column {left}'
            )
        _check_same_size(results, type(self).__name__)
        for key in ('img', 'gt_depth'):
            if key in results:
                results[key] = np.ascontiguousarray(results[key][top:bottom, left:right])
        move = np.eye(3)
        move[:2, 2] = -left, -top
        _move_pixels(results, move)
        return results


@TRANSFORMS.register_module()
class KBCrop(_Crop):
    """KITTI's benchmark crop: at the bottom, in the middle.

    Args:
        size: (H, W) in pixels.

    Raises:
        SampleError: for a smaller picture.
    """

    def __init__(self, size: Sequence[int] = (352, 1216)) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        # towards zero, also where the picture is too small: the message names the place
        return self.crop(results, height - self.size[0], int((width - self.size[1]) / 2), self.size)


@TRANSFORMS.register_module()
class NYUCrop(_Crop):
    """Cut off the white rim of NYU Depth v2: rows 45 to 471, columns 43 to 607 of 480 x 640."""

    def transform(self, results: dict) -> dict:
        return self.crop(results, 45, 43, (427, 565))


@TRANSFORMS.register_module()
class RandomCropDepth(_Crop):
    """Cut out a random box.

    Args:
        size: (H, W) in pixels.

    Raises:
        SampleError: for a smaller picture.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        place = [
            np.random.randint(max(have - want, 0) + 1)
            for have, want in zip(results['img'].shape, self.size)
        ]
        return self.crop(results, *place, self.size)


@TRANSFORMS.register_module()
class RandomRotateDepth(BaseTransform):
    """Turn the picture around its middle; the corners become black and without depth.

    Args:
        prob: probability in [0, 1].
        degrees: the angle is uniform in [-degrees, degrees].

    Raises:
        SampleError: if the depth map has another size than the picture.
        ValueError: for another probability.
    """

    def __init__(self, prob: float = 0.5, degrees: float = 2.5) -> None:
        self.prob = check_probability(prob)
        self.degrees = degrees

    def transform(self, results: dict) -> dict:
        _check_same_size(results, type(self).__name__)
        angle = np.random.uniform(-self.degrees, self.degrees)
        if np.random.random() >= self.prob:
            return results
        height, width = results['img'].shape[:2]
        # OpenCV counts from the centre of the first pixel
        half = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        results['img'] = cv2.warpAffine(results['img'], half, (width, height))
        if 'gt_depth' in results:
            results['gt_depth'] = cv2.warpAffine(
                results['gt_depth'], half, (width, height), flags=cv2.INTER_NEAREST
            )
        shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        _move_pixels(results, shift @ np.vstack([half, [0, 0, 1]]) @ np.linalg.inv(shift))
        return results


@TRANSFORMS.register_module()
class RandomFlipDepth(BaseTransform):
    """Mirror the picture left to right: u becomes W - u.

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
            width = results['img'].shape[1]
            for key in ('img', 'gt_depth'):
                if key in results:
                    results[key] = np.ascontiguousarray(results[key][:, ::-1])
            _move_pixels(results, np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]))
        return results


@TRANSFORMS.register_module()
class RandomGammaColor(BaseTransform):
    """Change gamma, brightness and the balance of the colours, each by a uniform factor.

    The augmentation of the Monocular-Depth-Estimation-Toolbox:
    ``img ** gamma * brightness * color[channel]`` on values from 0 to 255, so that ``gamma`` is
    mostly one more brightness (0.57 at 0.9, 1.74 at 1.1 for white). BTS, where it comes from,
    takes the power of values from 0 to 1.

    Args:
        prob: probability in [0, 1].
        gamma, brightness, color: (low, high) of the factors; every channel has its own colour
            factor.

    Raises:
        ValueError: for another probability.
    """

    def __init__(
        self,
        prob: float = 0.5,
        gamma: tuple[float, float] = (0.9, 1.1),
        brightness: tuple[float, float] = (0.9, 1.1),
        color: tuple[float, float] = (0.9, 1.1),
    ) -> None:
        self.prob = check_probability(prob)
        self.ranges = (gamma, brightness, color)

    def transform(self, results: dict) -> dict:
        if np.random.random() >= self.prob:
            return results
        gamma, brightness = (np.random.uniform(*limits) for limits in self.ranges[:2])
        factors = brightness * np.random.uniform(*self.ranges[2], size=3)
        table = np.arange(256, dtype=np.float64)[:, None] ** gamma * factors
        # one column of the table for each channel
        table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
        results['img'] = cv2.LUT(results['img'], table[None])
        return results


@TRANSFORMS.register_module()
class PackDepth(BaseTransform):
    """Make tensors: ``inputs=dict(img)`` (3, H, W) uint8 and a sample with ``gt_depth`` (H', W').

    The sample's meta information has ``sample_id``, ``img_path``, ``cam2img`` and
    ``img_flipped``.
    """

    def transform(self, results: dict) -> dict:
        image = np.ascontiguousarray(np.moveaxis(results['img'], -1, 0))
        sample = start_sample(results, META_KEYS)
        if 'gt_depth' in results:
            sample.gt_depth = torch.from_numpy(np.ascontiguousarray(results['gt_depth']))
        return dict(inputs=dict(img=torch.from_numpy(image)), data_samples=sample)
