"""Transforms for 2D teachers: their cached features, and pictures to train one."""

from __future__ import annotations

import os

import numpy as np
import torch

from ...registry import TRANSFORMS
from ..io import SampleError
from ..teacher_cache import feature_file, read_features, read_index
from .base import BaseTransform


@TRANSFORMS.register_module()
class LoadTeacherFeatures(BaseTransform):
    """Put cached maps of a teacher beside the views: ``inputs`` ``teacher_0``, ``teacher_1``, ...

    They are (V, C_l, h_l, w_l) float16. Behind :class:`PackFrames`. The maps are those of the
    pictures as they were loaded and resized: the colours may be changed in between, pixels must not
    be moved. The key of the cache goes into the sample as ``teacher_key``; the model refuses
    another one than that of its teacher.

    Args:
        cache_dir: made by ``tools/precompute_teacher_features.py``.

    Raises:
        FileNotFoundError: if there is no cache.
        SampleError: if a frame is missing in it, damaged, or was of another size.
    """

    def __init__(self, cache_dir: str) -> None:
        self.cache_dir = os.fspath(cache_dir)
        self._index: dict | None = None  # read late: a config is built without the files

    def transform(self, results: dict) -> dict:
        if self._index is None:
            self._index = read_index(self.cache_dir)
        inputs, sample = results['inputs'], results['data_samples']
        size = tuple(inputs['img'].shape[-2:])
        if size != self._index['image_size']:
            raise SampleError(
                f'{sample.sample_id}: pictures of {size}, but {self.cache_dir} has features of '
                f'{self._index["image_size"]}'
            )
        files = [feature_file(self.cache_dir, sample.scene, f) for f in sample.frame_ids]
        for k, maps in enumerate(zip(*(read_features(path) for path in files))):
            inputs[f'teacher_{k}'] = torch.from_numpy(np.stack(maps))
        sample.set_field(self._index['key'], 'teacher_key', field_type='metainfo')
        return results


@TRANSFORMS.register_module()
class PickView(BaseTransform):
    """One of the loaded views as a picture with depth, for the transforms of monocular depth.

    ``img`` becomes (H, W, 3), ``depth`` moves to ``gt_depth`` (H, W), ``cam2img`` and ``img_path``
    are those of the view.

    Args:
        view: its index; None draws one at random.
    """

    def __init__(self, view: int | None = None) -> None:
        self.view = view

    def transform(self, results: dict) -> dict:
        view = np.random.randint(len(results['img'])) if self.view is None else self.view
        results['img'] = results['img'][view]
        results['gt_depth'] = results.pop('depth')[view]
        results['cam2img'] = results['intrinsics'][view]
        results['img_path'] = results['img_paths'][view]
        return results
