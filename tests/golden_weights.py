"""Weights of the reference models behind the golden vectors.

Most golden files do not store the weights of their model but the rule that made them (section 1 of
their README): values depend on the reference's own key name and a seed.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

CONVERTERS = Path(__file__).resolve().parents[1] / 'tools' / 'model_converters'


def rule_weight(key: str, shape: list[int], seed: int) -> np.ndarray:
    """The value of one weight, float32."""
    random = np.random.RandomState((zlib.crc32(key.encode()) + seed) % 2**32)
    if key.endswith('.num_batches_tracked'):
        return np.zeros(shape, np.int64)
    if key.endswith('.running_var'):
        return (0.5 + random.random_sample(shape)).astype(np.float32)
    noise = random.standard_normal(shape)
    if key.endswith('.running_mean'):
        value = 0.1 * noise
    elif not shape:
        value = np.full((), 2.6592)
    elif len(shape) == 1:
        value = (1 if key.endswith('.weight') else 0) + 0.1 * noise
    elif key.endswith('weight'):
        value = noise / np.sqrt(np.prod(shape[1:]))
    else:
        value = 0.5 * noise
    return np.asarray(value, np.float32)


def golden_state_dict(config: dict) -> dict[str, Tensor]:
    """Reference state dict of a ``*_config.json``, checked against the sums stored there."""
    state = {}
    for key, facts in config['weights'].items():
        value = rule_weight(key, facts['shape'], config['weight_rule_seed'])
        if key == 'queue':  # the one exception to the rule: its columns have unit length
            value = value / np.linalg.norm(value, axis=0)
        np.testing.assert_allclose(value.astype(np.float64).sum(), facts['sum'], atol=1e-3)
        np.testing.assert_allclose(
            np.abs(value.astype(np.float64)).sum(), facts['abssum'], rtol=1e-6
        )
        state[key] = torch.from_numpy(value)
    return state


def converter(name: str) -> ModuleType:
    """Module of ``tools/model_converters/{name}.py``, found as when it runs as a script."""
    if str(CONVERTERS) not in sys.path:
        sys.path.append(str(CONVERTERS))
    return importlib.import_module(name)


def part(state_dict: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Entries below ``prefix``, without it."""
    return {
        key.removeprefix(prefix): value
        for key, value in state_dict.items()
        if key.startswith(prefix)
    }


def load(module: torch.nn.Module, state_dict: dict[str, Tensor]) -> torch.nn.Module:
    """Load every weight (batch counters and the schedule's step aside) and go to eval mode."""
    missing, unexpected = module.load_state_dict(state_dict, strict=False)
    missing = [key for key in missing if not key.endswith('num_batches_tracked')]
    assert not missing and not unexpected, (missing, unexpected)
    return module.eval()


def assert_close(actual: Tensor, expected: np.ndarray, rtol: float = 1e-5) -> None:
    """Compare with a tolerance relative to the largest absolute value, as the goldens define it."""
    assert tuple(actual.shape) == expected.shape, (tuple(actual.shape), expected.shape)
    scale = max(float(np.abs(expected).max()), 1e-12)
    error = float(np.abs(actual.detach().double().numpy() - expected.astype(np.float64)).max())
    assert error <= rtol * scale, (
        f'largest difference {error:.3g} of {scale:.3g} ({error / scale:.2g})'
    )
