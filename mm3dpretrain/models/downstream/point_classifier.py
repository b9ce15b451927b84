"""Classification of whole clouds with a (pre-trained) point encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

from .point_task import PointTask, required_field


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
class PointClassifier(PointTask):
    """Point encoder and classification head; see :class:`PointTask` for the lin / dec / ft ladder.

    ``predict`` adds ``pred_label`` (1,) and ``pred_score`` (num_classes,), softmax, to the data
    samples; with voting also ``vote_label`` and ``vote_score`` of the mean logits.

    Args:
        backbone: encoder whose ``forward(points (B, N, C))`` returns a dict with ``global``
            (B, in_channels of the head).
        head: such as :class:`ClassificationHead`.
        **kwargs: see :class:`PointTask`.
    """

    def __init__(self, backbone: dict, head: dict, **kwargs) -> None:
        super().__init__(backbone, head, **kwargs)

    def run_head(self, features: dict, points: Tensor, data_samples=None) -> Tensor:
        """Logits (B, num_classes)."""
        return self.head(features['global'])

    def get_loss(self, output: Tensor, data_samples: list[PretrainDataSample] | None) -> dict:
        """``loss`` (scalar) and ``top1`` of the batch in percent.

        Raises:
            ValueError: for a sample without label, or a label outside the head's classes.
        """
        labels = required_field(data_samples, 'gt_label', 'classification')
        labels = torch.cat([label.view(1) for label in labels]).to(output.device)
        hits = (output.detach().argmax(dim=1) == labels).float().mean()
        return dict(loss=self.head.loss(output, labels), top1=100 * hits)

    def store(self, output: Tensor, data_samples: list[PretrainDataSample], prefix: str) -> None:
        """Add label and score of the logits (B, num_classes)."""
        for sample, score in zip(data_samples, output.float().softmax(dim=1)):
            sample.set_field(score, f'{prefix}score')
            sample.set_field(score.argmax(dim=0, keepdim=True), f'{prefix}label')
