"""Standardised channels of a teacher's maps."""

from __future__ import annotations

import torch
from dist_utils import run_distributed
from torch.nn import functional as F

from mm3dpretrain.models.utils.channel_stats import ChannelStandardizer


def maps(seed: int, pictures: int = 3) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    spread = torch.tensor([0.1, 1.0, 5.0, 2.0])[:, None, None]
    return 3 + spread * torch.randn(pictures, 2, 4, 5, 6, generator=g)


def test_equal_to_the_statistics_of_all_maps_so_far():
    made = ChannelStandardizer(4).train()
    parts = [maps(seed) for seed in range(3)]
    for k, part in enumerate(parts):
        found = made(part)
        rows = torch.cat(parts[: k + 1]).double().movedim(2, -1).reshape(-1, 4)
        mean, deviation = rows.mean(0), rows.std(0, unbiased=False)
        wanted = (part - mean[:, None, None]) / deviation[:, None, None]
        torch.testing.assert_close(found, wanted.float(), rtol=1e-4, atol=1e-4)
    assert found.dtype == torch.float32


def test_counts_in_training_alone_and_travels_in_the_checkpoint():
    made = ChannelStandardizer(4)
    assert torch.equal(made.eval()(maps(0)), maps(0)), 'nothing was seen'
    made.train()(maps(0))
    before = {k: v.clone() for k, v in made.state_dict().items()}
    expected = made.eval()(maps(1))
    assert all(torch.equal(before[k], v) for k, v in made.state_dict().items())
    other = ChannelStandardizer(4).eval()
    other.load_state_dict(before)
    assert torch.equal(other(maps(1)), expected)


def test_a_constant_is_no_imitation():
    made, found = ChannelStandardizer(4), maps(0, 40)
    raw, standard = (F.normalize(m.movedim(2, -1).reshape(-1, 4), dim=1)
                     for m in (found, made.train()(found)))  # fmt: skip
    assert raw.mean(0).norm() > 0.6 and standard.mean(0).norm() < 0.1


def test_constant_channels_stay_finite():
    made = ChannelStandardizer(2).train()
    assert torch.equal(made(torch.full((1, 2, 3, 3), 7.0)), torch.zeros(1, 2, 3, 3))


def _one_of(rank, world_size):
    made = ChannelStandardizer(4).train()
    whole = maps(0, 4)
    part = whole if world_size == 1 else whole[2 * rank : 2 * rank + 2]
    return made(part), dict(made.state_dict())


def test_two_processes_equal_one():
    parts = run_distributed(_one_of, 2)
    whole, state = _one_of(0, 1)
    torch.testing.assert_close(torch.cat([p[0] for p in parts]), whole)
    for _, found in parts:
        torch.testing.assert_close(found, state)
