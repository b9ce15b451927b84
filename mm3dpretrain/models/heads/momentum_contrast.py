"""Momentum contrast between a sample and a queue of earlier ones."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from ..losses.gather import gather_features


@MODELS.register_module()
class MomentumContrast(nn.Module):
    """Queue and losses of MoCo (sec. 3.2 and alg. 1) for class tokens, and Point-BERT's mixed form.

    Args:
        dim: channels of the contrast space.
        queue_size: number of stored keys; a multiple of the global batch size.
        temperature: of the similarities, > 0.
        momentum: of the key network, in [0, 1].

    Raises:
        ValueError: for values outside their ranges.
    """

    def __init__(
        self,
        dim: int = 512,
        queue_size: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.999,
    ) -> None:
        super().__init__()
        if temperature <= 0 or not 0 <= momentum <= 1 or queue_size < 1:
            raise ValueError(
                'need temperature > 0, momentum in [0, 1] and queue_size >= 1, got '
                f'{temperature}, {momentum} and {queue_size}'
            )
        self.temperature = temperature
        self.momentum = momentum
        self.register_buffer('queue', F.normalize(torch.randn(queue_size, dim), dim=1))
        self.register_buffer('pointer', torch.zeros(1, dtype=torch.long))

    def loss(self, query: Tensor, key: Tensor) -> Tensor:
        """InfoNCE of each query with its own key against the queue (MoCo, eq. 1).

        Args:
            query: (B, dim), any length.
            key: (B, dim); gets no gradient.

        Returns:
            Scalar, the mean over the batch.
        """
        query, key = self._unit(query), self._unit(key).detach()
        positive = (query * key).sum(1, keepdim=True)
        logits = torch.cat([positive, query @ self.queue.clone().T], 1) / self.temperature
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))

    def mix_loss(self, query: Tensor, key: Tensor, ratio: Tensor) -> Tensor:
        """Contrast of mixed clouds with both of their sources (Point-BERT, sec. 3.4).

        The keys of the batch, of all processes, and the queue are the candidates.

        Args:
            query: (B, dim) of the mixed clouds. Cloud b holds patches of clouds b and B-1-b.
            key: (B, dim) of the clouds before mixing; gets no gradient.
            ratio: (B,) expected share of cloud b's own patches, in [0, 1].

        Returns:
            Scalar, the mean over the batch.
        """
        query, key = self._unit(query), self._unit(key).detach()
        candidates = torch.cat([gather_features(key), self.queue.clone()])
        logits = query @ candidates.T / self.temperature
        target = torch.arange(len(query), device=query.device) + get_rank() * len(query)
        own = F.cross_entropy(logits, target, reduction='none')
        other = F.cross_entropy(logits, target.flip(0), reduction='none')
        return (ratio * own + (1 - ratio) * other).mean()

    @torch.no_grad()
    def enqueue(self, key: Tensor) -> None:
        """Replace the oldest keys by those of this batch, of all processes.

        Raises:
            ValueError: if the queue size is no multiple of the global batch size.
        """
        keys = gather_features(self._unit(key))
        size, start = len(self.queue), int(self.pointer)
        if size % len(keys):
            raise ValueError(
                f'queue_size {size} must be a multiple of the global batch size {len(keys)} '
                '(drop_last=True keeps the batch size constant)'
            )
        self.queue[start : start + len(keys)] = keys
        self.pointer[0] = (start + len(keys)) % size

    @staticmethod
    def _unit(x: Tensor) -> Tensor:
        return F.normalize(x.float(), dim=1)


class MomentumTwin(nn.ModuleDict):
    """Copies of some modules that follow them slowly: ``key = m * key + (1 - m) * query``.

    Only parameters follow; buffers such as batch-norm statistics are the twin's own, as in MoCo.

    Args:
        sources: modules by name; read again at every update.
    """

    def __init__(self, sources: dict[str, nn.Module]) -> None:
        super().__init__({name: copy.deepcopy(module) for name, module in sources.items()})
        self.requires_grad_(False)

    @torch.no_grad()
    def follow(self, sources: dict[str, nn.Module], momentum: float) -> None:
        """Move all parameters a step towards those of the sources."""
        for name, module in sources.items():
            for twin, source in zip(self[name].parameters(), module.parameters()):
                twin.lerp_(source.to(twin.dtype), 1.0 - momentum)

    @torch.no_grad()
    def copy(self, sources: dict[str, nn.Module]) -> None:
        """Become equal to the sources, buffers included (after their weights were initialised)."""
        for name, module in sources.items():
            self[name].load_state_dict(module.state_dict())
