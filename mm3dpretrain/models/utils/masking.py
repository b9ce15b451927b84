"""Which patches of a cloud are hidden from the encoder."""

from __future__ import annotations

import torch
from torch import Tensor

MaskRatio = float | tuple[float, float]


def draw_mask_counts(
    batch_size: int, num_groups: int, ratio: MaskRatio, generator: torch.Generator | None = None
) -> Tensor:
    """How many patches of each cloud are masked: ``int(ratio * num_groups)``.

    Args:
        batch_size: number of clouds.
        num_groups: patches per cloud.
        ratio: fixed ratio in [0, 1], or (low, high) from which each cloud draws uniformly.
        generator: source of the draw; default the global one of its device.

    Returns:
        (B,) int64 on the device of the generator (default CPU).

    Raises:
        ValueError: for a ratio outside [0, 1] or an inverted range.
    """
    low, high = (ratio, ratio) if isinstance(ratio, (int, float)) else ratio
    if not 0.0 <= low <= high <= 1.0:
        raise ValueError(f'mask ratio must be in [0, 1] with low <= high, got {ratio}')
    device = generator.device if generator is not None else 'cpu'
    draw = torch.rand(batch_size, generator=generator, device=device, dtype=torch.float64)
    return ((low + (high - low) * draw) * num_groups).floor().long()


def block_mask(
    center: Tensor,
    ratio: MaskRatio = (0.25, 0.45),
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Mask a connected region: the patches nearest to a random patch (Point-BERT, Sec. 3.3).

    Args:
        center: (B, G, 3) patch centres.
        ratio: fixed masked share, or (low, high) from which each cloud draws its own.
        generator: source of the draws; default the global one.
        start: (B,) int64 patch around which to mask; default drawn uniformly.

    Returns:
        (B, G) bool, True where masked, with ``int(ratio * G)`` masked patches per cloud; the start
        patch is the first of them.

    Raises:
        ValueError: for wrong shapes, a bad ratio or a start outside [0, G).
    """
    if center.dim() != 3 or center.shape[-1] != 3:
        raise ValueError(f'center must be (B, G, 3), got {tuple(center.shape)}')
    batch, groups = center.shape[:2]
    counts = draw_mask_counts(batch, groups, ratio, generator).to(center.device)
    if start is None:
        device = generator.device if generator is not None else 'cpu'
        start = torch.randint(groups, (batch,), generator=generator, device=device)
    elif start.shape != (batch,) or bool(((start < 0) | (start >= groups)).any()):
        raise ValueError(f'start must be ({batch},) within [0, {groups}), got {start.tolist()}')
    start = start.to(center.device).long()[:, None]
    center = center.detach()
    distance = (center - center.gather(1, start[..., None].expand(-1, -1, 3))).norm(dim=-1)
    # coinciding centres must not push the start out of its own block
    distance = distance.scatter(1, start, -1.0)
    rank = distance.argsort(dim=1, stable=True).argsort(dim=1)
    return rank < counts[:, None]


def random_mask(
    batch_size: int,
    num_groups: int,
    ratio: MaskRatio = 0.6,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Mask patches drawn without replacement (Point-MAE, Sec. 3.1).

    Args:
        batch_size: number of clouds B.
        num_groups: patches per cloud G.
        ratio: fixed masked share, or (low, high) from which each cloud draws its own.
        generator: source of the draws; default the global one.
        device: where the mask is wanted; default the generator's (CPU).

    Returns:
        (B, G) bool, True where masked, with ``int(ratio * G)`` masked patches per cloud.

    Raises:
        ValueError: for a bad ratio.
    """
    counts = draw_mask_counts(batch_size, num_groups, ratio, generator)
    noise = torch.rand(batch_size, num_groups, generator=generator, device=counts.device)
    rank = noise.argsort(dim=1).argsort(dim=1)
    return (rank < counts[:, None]).to(device or counts.device)


def select_patches(tokens: Tensor, keep: Tensor) -> Tensor:
    """Tokens where ``keep`` is True, in order.

    Args:
        tokens: (B, G, ...) one entry per patch.
        keep: (B, G) bool with the same number of True entries in every row.

    Returns:
        (B, K, ...) with K that number.

    Raises:
        ValueError: for shapes that do not fit or rows with different counts.
    """
    if keep.dtype != torch.bool or keep.shape != tokens.shape[:2]:
        raise ValueError(
            f'the selection must be bool {tuple(tokens.shape[:2])}, '
            f'got {keep.dtype} {tuple(keep.shape)}'
        )
    counts = keep.sum(1)
    if bool((counts != counts[0]).any()):
        raise ValueError(
            'every cloud of a batch must keep the same number of patches, got '
            f'{counts.tolist()}: use a fixed mask ratio'
        )
    return tokens[keep].reshape(tokens.shape[0], -1, *tokens.shape[2:])
