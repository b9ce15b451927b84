"""Scale-invariant loss of depth maps."""

from __future__ import annotations

from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .gather import gather_features

# keeps the gradient of the root finite where a prediction is perfect
_EPS = 1e-12


@MODELS.register_module()
class SigLoss(nn.Module):
    """sqrt(var(g) + lambda mean(g)^2) with g = log(prediction / target) over the valid pixels.

    The scale-invariant loss of Eigen et al. (2014, Sec. 3.2) as the depth toolboxes write it: with
    lambda = 0.15 a common factor of all depths costs little. Variance (unbiased) and mean go over
    all valid pixels of the batch. Without any valid pixel the loss is 0, and so is every gradient.

    Args:
        mean_weight: lambda.
        max_depth: farther targets are not valid; None for no limit. Metres.
        gather_distributed: take the statistics over the batches of all processes, so that value
            and gradient are those of one process with the whole batch. The public toolboxes take
            them on every GPU for itself.

    Raises:
        ValueError: for a weight or a limit that is not positive.
    """

    def __init__(
        self,
        mean_weight: float = 0.15,
        max_depth: float | None = None,
        gather_distributed: bool = True,
    ) -> None:
        super().__init__()
        if mean_weight <= 0 or (max_depth is not None and max_depth <= 0):
            raise ValueError(
                f'mean_weight and max_depth must be positive, got {mean_weight} and {max_depth}'
            )
        self.mean_weight = mean_weight
        self.max_depth = max_depth
        self.gather = gather_features if gather_distributed else _only_here

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            prediction: (..., H, W), positive, metres.
            target: the same shape, 0 where unknown.

        Returns:
            Scalar, float32.

        Raises:
            ValueError: for different shapes.
        """
        if prediction.shape != target.shape:
            raise ValueError(
                f'prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ'
            )
        prediction, target = prediction.float(), target.float()
        valid = target > 0
        if self.max_depth is not None:
            valid = valid & (target <= self.max_depth)
        error = prediction[valid].log() - target[valid].log()
        count = error.new_tensor([error.numel()])
        count = self.gather(count).sum()
        mean = self.gather(error.sum().view(1)).sum() / count.clamp_min(1)
        squares = self.gather((error - mean).square().sum().view(1)).sum()
        variance = squares / (count - 1).clamp_min(1)
        return (variance + self.mean_weight * mean.square() + _EPS).sqrt() - _EPS**0.5


def _only_here(x: Tensor) -> Tensor:
    return x
