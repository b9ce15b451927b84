"""From lists of samples to the normalised batch that the models read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class PretrainDataPreprocessor(BaseDataPreprocessor):
    """Move a batch to the device, stack it and normalise its images.

    Args:
        mean: of the three RGB channels, range 0 to 255; default none is subtracted.
        std: of the three RGB channels; given together with ``mean``.
        non_blocking: copy to the device without waiting.

    Raises:
        ValueError: if only one of mean and std is given, or they do not have three values.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        if (mean is None) != (std is None):
            raise ValueError(f'give mean and std together, got mean={mean} and std={std}')
        self.normalizes = mean is not None
        if self.normalizes:
            if len(mean) != 3 or len(std) != 3:
                raise ValueError(f'mean and std need 3 values (RGB), got {mean} and {std}')
            self.register_buffer('mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
            self.register_buffer('std', torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Collate one batch.

        Args:
            data: ``inputs``, a dict of lists of tensors (or of tensors, already stacked), and
                ``data_samples``, a list. Images are (3, H, W) or (V, 3, H, W), RGB, 0 to 255.
            training: unused, part of MMEngine's interface.

        Returns:
            The same with stacked float32 tensors: ``points`` (B, N, C), ``img`` (B, [V,] 3, H, W)
            normalised. Masks stay bool.

        Raises:
            ValueError: if the samples of a batch differ in shape, or contain no input.
        """
        data = self.cast_data(data)
        if not data.get('inputs'):
            raise ValueError('the batch has no inputs: does the pipeline end in PackTriplets?')
        inputs = {key: self._stack(key, value) for key, value in data['inputs'].items()}
        if 'img' in inputs:
            inputs['img'] = self.normalize(inputs['img'])
        return dict(inputs=inputs, data_samples=data.get('data_samples'))

    def normalize(self, image: Tensor) -> Tensor:
        """Images (..., 3, H, W) as the model gets them."""
        return (image - self.mean) / self.std if self.normalizes else image

    @staticmethod
    def _stack(key: str, value: Tensor | Sequence[Tensor]) -> Tensor:
        if not isinstance(value, Tensor):
            shapes = {tuple(v.shape) for v in value}
            if len(shapes) > 1:
                raise ValueError(
                    f'the samples of a batch must have equal {key!r} shapes, got {sorted(shapes)}: '
                    'sample or resize them to one size in the pipeline'
                )
            value = torch.stack(list(value))
        return value if value.dtype == torch.bool else value.float()
