"""Superpixels of pictures, computed once and kept on disk."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import torch

from mm3dpretrain.compat import require
from mm3dpretrain.datasets.caching import cache_name
from mm3dpretrain.datasets.io import SampleError, atomic_path, read_image
from mm3dpretrain.datasets.transforms.pairs import PackPairs
from mm3dpretrain.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackSuperpixelPairs(PackPairs):
    """As PackPairs, and ``superpixels`` (V, H, W) of the pictures, -1 in the padding.

    SLIC (Achanta et al. 2012, scikit-image) divides the pictures as they lie on disk, once: the
    numbers are stored as PNG files. Where a picture was resized, cropped or mirrored, each of its
    pixels gets the number of the pixel that it came from; how it came is read off the projection
    matrices, so that any transform of pictures may stand before.

    Args:
        num_segments: about how many a picture is divided into.
        compactness: of SLIC; more gives squarer ones.
        sigma: of the blur before, pixels.
        cache_dir: where the files go.
        min_in_picture: see :class:`~mm3dpretrain.datasets.transforms.PackPairs`.

    Raises:
        ImportError: if scikit-image is not installed and a picture is not divided yet.
    """

    def __init__(
        self,
        num_segments: int = 150,
        compactness: float = 6.0,
        sigma: float = 3.0,
        cache_dir: str = 'data/cache/superpixels',
        min_in_picture: int = 1,
    ) -> None:
        super().__init__(min_in_picture)
        if num_segments < 2 or compactness <= 0 or sigma < 0:
            raise ValueError(
                'need num_segments >= 2, compactness > 0 and sigma >= 0, got '
                f'{num_segments}, {compactness} and {sigma}'
            )
        self.settings = dict(n_segments=num_segments, compactness=compactness, sigma=sigma)
        self.cache_dir = Path(cache_dir)

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        pictures = []
        size = packed['inputs']['img'].shape[-2:]
        for view, image in enumerate(results['images']):
            labels = self.superpixels(image['img_path'])
            # from the pixels of the file to those of the picture as it is now
            moved = results['lidar2img'][view][:3, :3] @ np.linalg.inv(image['lidar2img'][:3, :3])
            canvas = np.full(size, -1, np.int64)
            height, width = results['img_shape'][view]
            canvas[:height, :width] = warp_labels(labels, moved, (height, width))
            pictures.append(canvas)
        packed['inputs']['superpixels'] = torch.from_numpy(np.stack(pictures))
        return packed

    def superpixels(self, path: str | os.PathLike) -> np.ndarray:
        """Numbers from 0, int64 (h, w), of a picture on disk.

        Raises:
            SampleError: for a picture that cannot be read.
        """
        path = Path(path).resolve()
        try:
            changed = path.stat().st_mtime_ns
        except OSError as error:
            raise SampleError(f'{path}: {error.strerror}') from error
        name = cache_name(path.stem, path=str(path), changed=changed, **self.settings)
        stored = self.cache_dir / f'{name}.png'
        if stored.is_file():
            labels = cv2.imread(str(stored), cv2.IMREAD_UNCHANGED)
            if labels is not None:
                return labels.astype(np.int64)
        segmentation = require(
            'skimage.segmentation', 'det3d', 'dividing pictures into superpixels'
        )
        labels = segmentation.slic(read_image(path), start_label=0, **self.settings)
        written, data = cv2.imencode('.png', labels.astype(np.uint16))
        with atomic_path(stored) as temporary:
            temporary.write_bytes(data.tobytes())
        return labels.astype(np.int64)


def warp_labels(labels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Numbers of a moved picture: each pixel centre takes that of the pixel it came from.

    Args:
        labels: (h, w).
        matrix: (3, 3) from old pixel positions (u, v, 1) to new ones, without perspective.
        size: (H, W) of the moved picture.
    """
    height, width = size
    back = np.linalg.inv(matrix)
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    old = back[:2, :2] @ np.stack([u.ravel(), v.ravel()]) + back[:2, 2:]
    column = np.clip(np.floor(old[0]).astype(np.int64), 0, labels.shape[1] - 1)
    row = np.clip(np.floor(old[1]).astype(np.int64), 0, labels.shape[0] - 1)
    return labels[row, column].reshape(size)
