from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mm3dpretrain.datasets.samplers import (
    SeededIndex,
    SeededSampler,
    mix_seed,
    seed_everything,
    seed_sample,
    seed_transforms,
)


class Noise(Dataset):
    """Every item is random: only the seed that its index carries decides it."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        seed_sample(index)
        return torch.tensor([float(index), float(np.random.rand()), torch.rand(()).item()])


def draws(num_workers, epoch, skip=0, persistent=False, loader=None):
    if loader is None:
        dataset = Noise()
        loader = DataLoader(
            dataset,
            batch_size=2,
            sampler=SeededSampler(dataset, seed=3),
            num_workers=num_workers,
            persistent_workers=persistent,
        )
    loader.sampler.set_epoch(epoch)
    loader.sampler.skip(skip)
    return torch.cat(list(loader)), loader


def test_draws_depend_on_seed_epoch_and_position_alone():
    reference, _ = draws(0, epoch=2)
    assert sorted(reference[:, 0].tolist()) == list(range(10))
    for workers in (1, 2):
        torch.testing.assert_close(draws(workers, epoch=2)[0], reference)
    _, loader = draws(2, epoch=1, persistent=True)
    torch.testing.assert_close(draws(2, epoch=2, loader=loader)[0], reference)
    assert not torch.equal(draws(0, epoch=3)[0], reference)


def test_skip_continues_in_the_middle_once():
    reference, loader = draws(0, epoch=1)
    torch.testing.assert_close(draws(0, epoch=1, skip=4, loader=loader)[0], reference[4:])
    torch.testing.assert_close(draws(0, epoch=1, loader=loader)[0], reference)


def test_ranks_share_one_permutation(monkeypatch):
    parts = []
    for rank in range(3):
        monkeypatch.setattr(
            'mm3dpretrain.datasets.samplers.get_dist_info', lambda rank=rank: (rank, 3)
        )
        sampler = SeededSampler(Noise(), seed=0)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler) == 4
    seen = [int(i) for part in parts for i in part]
    assert set(seen) == set(range(10)) and len(seen) == 12


def test_index_survives_pickling_and_shifting():
    index = pickle.loads(pickle.dumps(SeededIndex(7, 99)))
    assert (index, index.seed) == (7, 99)
    assert (index.shifted(5), index.shifted(5).seed) == (2, 99)


def test_seeds_of_neighbours_differ():
    seeds = {mix_seed(0, epoch, place) for epoch in range(20) for place in range(200)}
    assert len(seeds) > 3990


def test_empty_set():
    with pytest.raises(ValueError, match='empty'):
        SeededSampler([])


def test_transforms_are_seeded_like_everything():
    def draws():
        return random.random(), np.random.rand(), float(torch.rand(()))

    seed_everything(5)
    wanted = draws()
    seed_transforms(5)
    assert draws() == wanted
