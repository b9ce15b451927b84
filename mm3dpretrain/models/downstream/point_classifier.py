"""Classification of whole clouds with a (pre-trained) point encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel, BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample


@MODELS.register_module()
class ClassificationHead(BaseModule):
    """A linear layer, or an MLP, from global features to classes.

    The default is the head of the Point-BERT suite: hidden layer of 256, batch norm, ReLU and
    dropout 0.5 (Point-MAE's has two hidden layers and batch norm, Point-BERT's one and none).

    Args:
        in_channels: of the features.
        num_classes: number of classes.
        hidden_channels: width of each hidden layer; () gives a linear classifier.
        input_norm: standardise the features by a batch norm without parameters, as usual for
            linear classifiers on frozen features (He et al., MAE, appendix A.1): their scale is
            arbitrary, and most of them is an offset that all shapes share.
        norm: batch norm behind every hidden linear layer.
        dropout: behind every hidden layer.
        label_smooth: share of the target spread over all classes, in [0, 1).
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for fewer than two classes, or a dropout or smoothing out of range.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden_channels: Sequence[int] = (256,),
        input_norm: bool = False,
        norm: bool = True,
        dropout: float = 0.5,
        label_smooth: float = 0.0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_classes < 2:
            raise ValueError(f'a classifier needs at least 2 classes, got {num_classes}')
        if not 0 <= label_smooth < 1 or not 0 <= dropout < 1:
            raise ValueError(
                'label_smooth and dropout must be in [0, 1), got '
                f'label_smooth={label_smooth}, dropout={dropout}'
            )
        self.num_classes = num_classes
        self.label_smooth = label_smooth
        layers: list[nn.Module] = []
        if input_norm:
            layers.append(nn.BatchNorm1d(in_channels, affine=False))
        for width in hidden_channels:
            layers.append(nn.Linear(in_channels, width))
            if norm:
                layers.append(nn.BatchNorm1d(width))
            layers += [nn.ReLU(), nn.Dropout(dropout)]
            in_channels = width
        self.layers = nn.Sequential(*layers, nn.Linear(in_channels, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, num_classes) of features (B, in_channels)."""
        return self.layers(features)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy, in float32.

        Args:
            logits: (B, num_classes).
            labels: (B,) int64.

        Raises:
            ValueError: for a label outside [0, num_classes).
        """
        outside = labels[(labels < 0) | (labels >= self.num_classes)]
        if len(outside):
            raise ValueError(
                f'label {int(outside[0])} does not fit num_classes={self.num_classes} of the head'
            )
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smooth)


@MODELS.register_module()
class PointClassifier(BaseModel):
    """Point encoder and classification head: the lin / dec / ft ladder.

    - ``lin``: ``freeze_backbone=True`` and a head without hidden layers,
    - ``dec``: ``freeze_backbone=True`` and the MLP head,
    - ``ft``: everything learns.

    Weights of a pre-training come in through the encoder's
    ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix='point_encoder.')``, straight from
    its checkpoint; ``LoadReportHook`` says how many of them fit.

    Args:
        backbone: encoder whose ``forward(points (B, N, C))`` returns a dict with ``global``
            (B, in_channels of the head).
        head: such as :class:`ClassificationHead`.
        freeze_backbone: the encoder gets no gradient and stays in eval mode, so that its batch
            norm statistics do not move and no path is dropped.
        data_preprocessor: config; default ``PretrainDataPreprocessor``.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    transfer_modules = {'point': 'backbone'}

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

    def train(self, mode: bool = True) -> PointClassifier:
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
        """Dispatch: 'tensor' -> logits (B, num_classes), 'loss' -> dict, 'predict' -> samples.

        Raises:
            ValueError: for another mode.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        logits = self.head(self.extract_feat(inputs)['global'])
        if mode == 'tensor':
            return logits
        return self._loss(logits, data_samples) if mode == 'loss' else _store(logits, data_samples)

    def loss(self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample]) -> dict:
        """``loss`` (scalar) and ``top1`` of the batch in percent.

        Raises:
            ValueError: for a sample without label, or a label outside the head's classes.
        """
        return self.forward(inputs, data_samples, 'loss')

    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[PretrainDataSample] | None = None
    ) -> list[PretrainDataSample]:
        """Data samples with ``pred_label`` (1,) and ``pred_score`` (num_classes,), softmax."""
        return self.forward(inputs, data_samples, 'predict')

    def _loss(self, logits: Tensor, data_samples: list[PretrainDataSample] | None) -> dict:
        bare = [s.get('sample_id', '?') for s in data_samples or () if s.get('gt_label') is None]
        if not data_samples or bare:
            raise ValueError(f'classification needs gt_label in all samples; without: {bare[:5]}')
        labels = torch.cat([sample.gt_label.view(1) for sample in data_samples]).to(logits.device)
        hits = (logits.detach().argmax(dim=1) == labels).float().mean()
        return dict(loss=self.head.loss(logits, labels), top1=100 * hits)


def _store(
    logits: Tensor, data_samples: list[PretrainDataSample] | None
) -> list[PretrainDataSample]:
    scores = logits.float().softmax(dim=1)
    if data_samples is None:
        data_samples = [PretrainDataSample() for _ in range(len(scores))]
    for sample, score in zip(data_samples, scores):
        sample.pred_score = score
        sample.pred_label = score.argmax(dim=0, keepdim=True)
    return data_samples
