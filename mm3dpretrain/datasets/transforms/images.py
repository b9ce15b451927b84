"""Transforms of views. ``img`` is (H, W, 3) uint8 RGB, or (V, H, W, 3) for several views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ...registry import TRANSFORMS
from ...structures import Cameras
from .base import BaseTransform, check_probability

# a worker process has one core; OpenCV's own threads only fight over it
cv2.setNumThreads(0)


def _check_image(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[-1] != 3:
        raise ValueError(
            f'img must be (H, W, 3) or (V, H, W, 3) uint8, got {image.shape} {image.dtype}'
        )
    return image


def _each_view(image: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    if image.ndim == 3:
        return function(image)
    return np.stack([function(view) for view in image])


@TRANSFORMS.register_module()
class ResizeView(BaseTransform):
    """Resize views to ``size`` and their cameras with them.

    Shrinking averages over the area (no aliasing), growing is bilinear. The aspect is not kept.

    Args:
        size: (H, W), or one number for both.

    Raises:
        ValueError: for a non-positive size or an ``img`` that is no RGB picture.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        size = (size, size) if isinstance(size, int) else tuple(int(s) for s in size)
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f'size must be a positive number or (H, W), got {size}')
        self.size = size

    def transform(self, results: dict) -> dict:
        image = _check_image(results['img'])
        height, width = image.shape[-3:-1]
        if (height, width) == self.size:
            return results
        shrinks = self.size[0] <= height and self.size[1] <= width
        mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        results['img'] = _each_view(
            image, lambda v: cv2.resize(v, self.size[::-1], None, 0, 0, mode)
        )
        if 'cameras' in results:
            results['cameras'] = results['cameras'].rescale(self.size)
        return results


@TRANSFORMS.register_module()
class RandomFlipView(BaseTransform):
    """Mirror a view left to right.

    The camera follows (its fx becomes negative), so projecting the stored points still hits the
    pixels that show them. All views of a sample are flipped together.

    Args:
        prob: probability in [0, 1].

    Raises:
        ValueError: for another probability.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = check_probability(prob)

    def transform(self, results: dict) -> dict:
        image = _check_image(results['img'])
        results['img_flipped'] = bool(np.random.random() < self.prob)
        if results['img_flipped']:
            results['img'] = np.ascontiguousarray(image[..., ::-1, :])
            if 'cameras' in results:
                results['cameras'] = _mirror(results['cameras'])
        return results


def _mirror(cameras: Cameras) -> Cameras:
    """The cameras of the mirrored pictures: u becomes W - u."""
    intrinsics = cameras.intrinsics.clone()
    intrinsics[..., 0, :] = -intrinsics[..., 0, :]
    intrinsics[..., 0, 2] += cameras.image_size[1]
    return Cameras(cameras.extrinsics, intrinsics, cameras.image_size, cameras.projection)


@TRANSFORMS.register_module()
class ColorJitterView(BaseTransform):
    """Change brightness, contrast and saturation in random order, each by its own factor.

    A factor is uniform in [max(0, 1 - s), 1 + s]. Brightness multiplies; contrast moves away from
    the mean grey of the view; saturation moves away from the grey of each pixel. Grey is
    0.299 R + 0.587 G + 0.114 B. All views of a sample get the same factors.

    Args:
        brightness, contrast, saturation: s of each, 0 for none. CrossPoint takes 0.4 for all.

    Raises:
        ValueError: for a negative strength.
    """

    def __init__(
        self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4
    ) -> None:
        if min(brightness, contrast, saturation) < 0:
            raise ValueError(
                f'strengths must not be negative, got {(brightness, contrast, saturation)}'
            )
        self.strength = (brightness, contrast, saturation)

    def transform(self, results: dict) -> dict:
        image = _check_image(results['img'])
        factors = [np.random.uniform(max(0.0, 1 - s), 1 + s) for s in self.strength]
        order = np.random.permutation(3)
        results['img'] = _each_view(image, lambda view: self._jitter(view, factors, order))
        return results

    def _jitter(self, view: np.ndarray, factors: list[float], order: np.ndarray) -> np.ndarray:
        # every step rounds to uint8, as image libraries do; lookup tables make it cheap
        for step in order:
            if self.strength[step] == 0:
                continue
            factor = factors[step]
            if step == 2:
                grey = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
                view = cv2.addWeighted(view, factor, grey, 1 - factor, 0)
            else:
                base = 0.0
                if step == 1:
                    base = round(float(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).mean()))
                table = base + (np.arange(256) - base) * factor
                view = cv2.LUT(view, np.clip(np.rint(table), 0, 255).astype(np.uint8))
        return view
