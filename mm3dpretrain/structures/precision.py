"""Positions keep their precision under autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """Context in which autocast leaves the products of positions and matrices alone.

    Half precision cannot tell neighbouring pixels of a large picture apart.
    """
    if device.type not in ('cpu', 'cuda'):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64, else float32: the precision to compute positions in."""
    return dtype if dtype == torch.float64 else torch.float32
