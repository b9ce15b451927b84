"""Prediction of the discrete tokens of hidden patches."""

from __future__ import annotations

import torch
from mmengine.dist import get_world_size
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

from ..losses.gather import sum_over_processes
from ..utils import init_transformer_weights


@MODELS.register_module()
class MaskedTokenHead(BaseModule):
    """Classify hidden patches into the tokens of a frozen tokenizer (Point-BERT, Sec. 3.3).

    It also owns ``mask_token`` (1, 1, in_channels), which stands for a hidden patch at the input of
    the encoder; it is trained by this task and not transferred.

    Args:
        in_channels: channels of the encoder's patch features.
        num_tokens: size of the vocabulary.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        in_channels: int = 384,
        num_tokens: int = 8192,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_tokens = num_tokens
        self.mask_token = nn.Parameter(torch.zeros(1, 1, in_channels))
        self.classifier = nn.Linear(in_channels, num_tokens)

    def init_weights(self) -> None:
        """Truncated normal weights, standard deviation 0.02, then ``init_cfg``."""
        if not self.is_init:
            init_transformer_weights(self)
            nn.init.trunc_normal_(self.mask_token, std=0.02)
        super().init_weights()

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (..., num_tokens) of patch features (..., in_channels)."""
        return self.classifier(tokens)

    def predict(self, tokens: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and targets of the hidden patches alone.

        Args:
            tokens: (B, G, in_channels) patch features after the encoder.
            targets: (B, G) int64 tokens of the unhidden patches, in [0, num_tokens).
            mask: (B, G) bool, True where hidden.

        Returns:
            (M, num_tokens) and (M,), where M is the number of hidden patches of the batch.

        Raises:
            ValueError: if nothing is hidden: there is nothing to predict.
        """
        if not bool(mask.any()):
            raise ValueError(
                f'no patch of {tuple(mask.shape)} is masked, so there is no token to predict: '
                'use a mask ratio of at least 1 / num_groups'
            )
        return self(tokens[mask]), targets[mask]

    def loss(self, tokens: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Mean cross-entropy over the hidden patches; arguments as in :meth:`predict`.

        The mean is over the hidden patches of all processes, which may have unequal numbers of
        them: the average of the processes' values is that of one process with the whole batch.
        """
        logits, labels = self.predict(tokens, targets, mask)
        summed = F.cross_entropy(logits.float(), labels, reduction='sum')
        hidden = sum_over_processes(mask.sum())
        return summed * get_world_size() / hidden

    @torch.no_grad()
    def accuracy(self, tokens: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Share in [0, 1] of the hidden patches whose token is found; see :meth:`predict`."""
        logits, labels = self.predict(tokens, targets, mask)
        return (logits.argmax(dim=-1) == labels).float().mean()
