"""Mixed precision that also runs without a GPU."""

from __future__ import annotations

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mm3dpretrain.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Autocast to bfloat16 on the model's own device.

    MMEngine's ``AmpOptimWrapper`` asks for a GPU. bfloat16 has the range of float32, so that no
    loss scaling is needed and several optimisers can share one backward pass.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Run the forward pass under autocast."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield
