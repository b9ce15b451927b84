"""From scans with pictures to the batch that image-LiDAR methods read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

from .data_preprocessor import PretrainDataPreprocessor


@MODELS.register_module()
class PairDataPreprocessor(PretrainDataPreprocessor):
    """Move a batch of pairs to the device, pad its pictures to one size and normalise them.

    Pictures are padded at the right and the bottom, so that ``lidar2img`` holds as it is. The
    padding is 0 after the normalisation.

    Args:
        mean: of the three channels, range 0 to 255, in the order that the model gets.
        std: of the three channels; given together with ``mean``.
        bgr: give the model BGR instead of RGB, as weights of SimIPU and of Caffe expect it, with
            ``mean`` and ``std`` in this order (SimIPU: [103.53, 116.28, 123.675] and 1).
        pad_divisor: height and width become multiples of it.
        non_blocking: copy to the device without waiting.

    Raises:
        ValueError: if only one of mean and std is given, or the divisor is not positive.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        bgr: bool = False,
        pad_divisor: int = 32,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(mean, std, non_blocking)
        if pad_divisor < 1:
            raise ValueError(f'pad_divisor must be positive, got {pad_divisor}')
        self.bgr = bgr
        self.pad_divisor = pad_divisor

    def forward(self, data: dict, training: bool = False) -> dict:
        """Collate one batch of :class:`~mm3dpretrain.datasets.transforms.pairs.PackPairs`.

        Args:
            data: ``inputs``, a dict of lists of tensors, ``img`` (V, 3, h, w) RGB in 0 to 255 and
                ``img_shape`` (V, 2); ``data_samples``, a list.
            training: unused, part of MMEngine's interface.

        Returns:
            The same with stacked float32 tensors: ``img`` (B, V, 3, H, W) normalised, ``depth``
            (B, V, H / stride, W / stride), the others as they are.

        Raises:
            ValueError: if the samples differ in the number of points or cameras, or contain no
                input; or if ``pad_divisor`` is no multiple of the stride of the depth.
        """
        inputs = dict(data.get('inputs') or {})
        if inputs.get('img') is None or not len(inputs['img']):
            raise ValueError('the batch has no img: does the pipeline end in PackPairs?')
        sizes = [max(image.shape[k] for image in inputs['img']) for k in (-2, -1)]
        size = [-(-side // self.pad_divisor) * self.pad_divisor for side in sizes]
        inputs['img'] = [_pad(image, size) for image in inputs['img']]
        if 'depth' in inputs:
            stride = data['data_samples'][0].depth_stride
            if self.pad_divisor % stride:
                raise ValueError(
                    f'pad_divisor={self.pad_divisor} must be a multiple of the stride {stride} of '
                    'LidarDepth'
                )
            inputs['depth'] = [_pad(d, [side // stride for side in size]) for d in inputs['depth']]
        batch = super().forward(dict(data, inputs=inputs), training)
        inputs = batch['inputs']
        inside = _inside(inputs['img_shape'], size)
        inputs['img'] = torch.where(inside, inputs['img'], torch.zeros_like(inputs['img']))
        return batch

    def normalize(self, image: Tensor) -> Tensor:
        """Pictures (..., 3, H, W) in RGB as the model gets them."""
        return super().normalize(image.flip(-3) if self.bgr else image)


def _pad(image: Tensor, size: Sequence[int]) -> Tensor:
    """Zeros at the right and the bottom of (..., h, w) up to (H, W)."""
    return F.pad(image, (0, size[1] - image.shape[-1], 0, size[0] - image.shape[-2]))


def _inside(shape: Tensor, size: Sequence[int]) -> Tensor:
    """bool (B, V, 1, H, W): the pixels of pictures of (h, w) = ``shape`` (B, V, 2)."""
    row = torch.arange(size[0], device=shape.device) < shape[..., :1]
    column = torch.arange(size[1], device=shape.device) < shape[..., 1:]
    return (row[..., :, None] & column[..., None, :])[:, :, None]
