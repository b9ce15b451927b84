"""The last transform: from the dict of a sample to what the model reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...registry import TRANSFORMS
from ...structures import PretrainDataSample
from .base import BaseTransform

META_KEYS = (
    'sample_id',
    'synset',
    'model_id',
    'sample_idx',
    'caption',
    'gravity_axis',
    'normalization',
    'point_channels',
    'point_transform',
    'view_index',
    'img_flipped',
    'difficulty',
    'embedding_key',
)
#: embeddings and tokens of images and texts, passed on as they are
EMBEDDING_KEYS = ('image_embeds', 'text_embeds', 'has_image', 'has_text', 'text_tokens')


def start_sample(results: dict, meta_keys: Sequence[str]) -> PretrainDataSample:
    """A sample with the meta information that ``results`` has of ``meta_keys``."""
    sample = PretrainDataSample()
    for key in meta_keys:
        if key in results:
            # the constructor would copy every value; nobody else holds these
            sample.set_field(results[key], key, field_type='metainfo')
    return sample


@TRANSFORMS.register_module()
class PackTriplets(BaseTransform):
    """Make tensors and a :class:`~mm3dpretrain.structures.PretrainDataSample`.

    Returns ``dict(inputs=dict(points, img), data_samples=...)`` with ``points`` (N, C) float32 and
    ``img`` (3, H, W) uint8, or (V, 3, H, W) for several views; each only if it was loaded, as are
    ``vote_points`` (V, N, C), and ``image_embeds``, ``text_embeds`` (D,), ``has_image``,
    ``has_text`` (), ``text_tokens`` (L,). The sample has ``gt_label`` (1,) where the class is
    known, ``gt_part`` (N,), ``gt_points`` (M, 3), ``cameras`` and the meta information.

    Args:
        meta_keys: what goes to the meta information, if it is there.

    Raises:
        ValueError: if neither points nor a view was loaded.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        inputs = {}
        if 'points' in results and 'point_channels' in results:
            inputs['points'] = torch.from_numpy(
                np.ascontiguousarray(results['points'], dtype=np.float32)
            )
        if 'vote_points' in results:
            inputs['vote_points'] = torch.from_numpy(results['vote_points'])
        if 'img' in results:
            image = np.moveaxis(results['img'], -1, -3)
            inputs['img'] = torch.from_numpy(np.ascontiguousarray(image))
        for key in EMBEDDING_KEYS:
            if key in results:
                inputs[key] = torch.as_tensor(results[key])
        if not inputs:
            raise ValueError('PackTriplets: nothing was loaded; put LoadPoints before it')
        sample = start_sample(results, self.meta_keys)
        label = results.get('gt_label', -1)
        if label >= 0:
            sample.gt_label = torch.tensor([label], dtype=torch.int64)
        if 'gt_part' in results:
            sample.gt_part = torch.from_numpy(np.ascontiguousarray(results['gt_part'], np.int64))
        if 'gt_points' in results:
            sample.gt_points = torch.from_numpy(
                np.ascontiguousarray(results['gt_points'], np.float32)
            )
        if 'cameras' in results:
            sample.cameras = results['cameras']
        return dict(inputs=inputs, data_samples=sample)
