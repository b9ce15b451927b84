"""The seam that every pre-training method implements."""

from __future__ import annotations

from abc import abstractmethod

from mmengine.model import BaseModel
from torch import Tensor

from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample


class BasePretrainer(BaseModel):
    """Base class of all methods: a model that learns from unlabelled multi-modal samples.

    A method implements :meth:`extract_feat` and :meth:`loss`. Its parts (encoders, heads, losses,
    renderers) come in through the config and are built from the registries.

    Args:
        data_preprocessor: config; default ``PretrainDataPreprocessor`` without normalisation.
        init_cfg: MMEngine initialisation config.
    """

    #: name of a modality -> attribute of the sub-module worth moving to another network
    transfer_modules: dict[str, str] = {}

    def __init__(self, data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        if data_preprocessor is None:
            data_preprocessor = dict(type='PretrainDataPreprocessor')
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[PretrainDataSample] | None = None,
        mode: str = 'tensor',
    ):
        """Dispatch as MMEngine expects it.

        Args:
            inputs: what the data preprocessor returns, such as ``points`` (B, N, C) and ``img``
                (B, 3, H, W).
            data_samples: one for each sample of the batch.
            mode: 'tensor' -> :meth:`extract_feat`, 'loss' -> :meth:`loss`, 'predict' ->
                :meth:`predict`.

        Raises:
            ValueError: for another mode.
        """
        if mode == 'tensor':
            return self.extract_feat(inputs, data_samples)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    @abstractmethod
    def extract_feat(
        self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Features of the encoder that is being pre-trained.

        Returns:
            ``global`` (B, C) and, where the encoder has them, ``local`` (B, G, C') and ``xyz``
            (B, G, 3); ``embed`` (B, D) where the method has a space of shapes, images and texts.
        """

    @abstractmethod
    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Weighted loss terms (their keys contain 'loss' and are summed) and figures to log."""

    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample] | None = None
    ) -> list[PretrainDataSample]:
        """The features of :meth:`extract_feat`, stored in one data sample for each cloud."""
        feats = self.extract_feat(inputs, data_samples)
        batch_size = feats['global'].shape[0]
        if data_samples is None:
            data_samples = [PretrainDataSample() for _ in range(batch_size)]
        for index, sample in enumerate(data_samples):
            for key, name in (
                ('global', 'feat_global'),
                ('local', 'feat_local'),
                ('xyz', 'feat_xyz'),
                ('embed', 'feat_embed'),
            ):
                if feats.get(key) is not None:
                    sample.set_data({name: feats[key][index]})
        return data_samples
