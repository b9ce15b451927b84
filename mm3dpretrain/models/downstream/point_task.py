"""What the downstream models of single objects share: an encoder that may be frozen, and voting."""

from __future__ import annotations

from abc import abstractmethod

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample


class PointTask(BaseModel):
    """A (pre-trained) point encoder under a head: the lin / dec / ft ladder.

    - ``lin``: ``freeze_backbone=True`` and a linear head,
    - ``dec``: ``freeze_backbone=True`` and the head of the task,
    - ``ft``: everything learns.

    Weights of a pre-training come in through the encoder's
    ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix='point_encoder.')``, straight from
    its checkpoint; ``LoadReportHook`` says how many of them fit.

    A subclass gives :meth:`run_head`, :meth:`get_loss` and :meth:`store`.

    Args:
        backbone: encoder whose ``forward(points (B, N, C))`` returns a dict, see the subclass.
        head: of the task.
        freeze_backbone: the encoder gets no gradient and stays in eval mode, so that its batch
            norm statistics do not move and no path is dropped.
        data_preprocessor: config; default ``PretrainDataPreprocessor``.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    transfer_modules = {'point': 'backbone'}
    # whether the mean output over transformed copies means anything
    can_vote = True

    def __init__(
        self,
        backbone: dict,
        head: dict,
        freeze_backbone: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if data_preprocessor is None:
            data_preprocessor = dict(type='PretrainDataPreprocessor')
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        self.freeze_backbone = freeze_backbone
        if freeze_backbone:
            self.backbone.requires_grad_(False)
            self.backbone.eval()

    def train(self, mode: bool = True) -> PointTask:
        """Training mode for all that learns."""
        super().train(mode)
        if self.freeze_backbone:
            self.backbone.eval()
        return self

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """Features of the encoder.

        Args:
            inputs: with ``points`` (B, N, C) in the frame and unit of the pre-training.
            data_samples: not used.

        Returns:
            What the encoder returns, ``global`` (B, C) among it.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_backbone):
            return self.backbone(inputs['points'])

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[PretrainDataSample] | None = None,
        mode: str = 'tensor',
    ):
        """Dispatch: 'tensor' -> what the head gives, 'loss' -> dict, 'predict' -> samples.

        Raises:
            ValueError: for another mode.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        output = self.run_head(self.extract_feat(inputs), inputs['points'], data_samples)
        if mode == 'tensor':
            return output
        if mode == 'loss':
            return self.get_loss(output, data_samples)
        if data_samples is None:
            data_samples = [PretrainDataSample() for _ in range(len(inputs['points']))]
        self.store(output, data_samples, 'pred_')
        if 'vote_points' in inputs:
            votes = self._vote(inputs, data_samples)
            self.store(votes, data_samples, 'vote_')
        return data_samples

    def loss(self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample]) -> dict:
        """Losses and accuracies of a batch; see :meth:`get_loss` of the subclass."""
        return self.forward(inputs, data_samples, 'loss')

    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample] | None = None
    ) -> list[PretrainDataSample]:
        """Data samples with the predictions of the subclass.

        Where the pipeline made ``vote_points`` (``VoteCopies``), the mean output over these
        copies is stored beside the plain prediction, under names that begin with ``vote_``, and
        ``num_votes`` in the meta information. The plain prediction never depends on them.
        """
        return self.forward(inputs, data_samples, 'predict')

    @abstractmethod
    def run_head(
        self, features: dict, points: Tensor, data_samples: list[PretrainDataSample] | None
    ):
        """Output of the head for the encoder's features of ``points`` (B, N, C)."""

    @abstractmethod
    def get_loss(self, output, data_samples: list[PretrainDataSample] | None) -> dict:
        """Losses of what :meth:`run_head` gave."""

    @abstractmethod
    def store(self, output, data_samples: list[PretrainDataSample], prefix: str) -> None:
        """Put predictions into the samples, under names that begin with ``prefix``."""

    def _vote(self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample]) -> Tensor:
        """Mean output over the copies ``vote_points`` (B, V, N, C), one copy at a time."""
        copies = inputs['vote_points']
        if not self.can_vote:
            raise ValueError(
                f'{type(self).__name__} cannot vote: take VoteCopies out of the test pipeline'
            )
        total = 0
        for copy in copies.unbind(dim=1):
            total = total + self.run_head(self.extract_feat(dict(points=copy)), copy, data_samples)
        for sample in data_samples:
            sample.set_metainfo(dict(num_votes=copies.shape[1]))
        return total / copies.shape[1]


def required_field(samples: list[PretrainDataSample] | None, name: str, task: str) -> list[Tensor]:
    """The field ``name`` of all samples.

    Raises:
        ValueError: naming samples without it.
    """
    bare = [s.get('sample_id', '?') for s in samples or () if s.get(name) is None]
    if not samples or bare:
        raise ValueError(f'{task} needs {name} in all samples; without: {bare[:5]}')
    return [sample.get(name) for sample in samples]
