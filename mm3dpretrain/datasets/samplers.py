"""A sampler that makes every draw of a run repeatable, whatever happens to the processes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mm3dpretrain.registry import DATA_SAMPLERS


class SeededIndex(int):
    """The index of a sample that carries the seed of its random transforms."""

    seed: int

    def __new__(cls, index: int, seed: int) -> SeededIndex:
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __reduce__(self):
        return SeededIndex, (int(self), self.seed)

    def shifted(self, offset: int) -> SeededIndex:
        """The same draw in a data set that starts ``offset`` samples later."""
        return SeededIndex(int(self) - offset, self.seed)


def mix_seed(*parts: int) -> int:
    """One 31-bit seed from several integers, well spread even for neighbouring values."""
    return zlib.crc32(np.asarray(parts, dtype=np.int64).tobytes()) & 0x7FFFFFFF


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators, those of accelerators too."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_transforms(seed: int) -> None:
    """Seed what transforms draw from: :func:`seed_everything` without accelerators.

    ``torch.manual_seed`` prepares the accelerators' generators too, which takes longer than the
    other transforms of a small sample, and in a process that never uses one keeps a record of every
    call.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def seed_sample(index: int) -> None:
    """Seed the transforms of one sample if its index carries a seed; else do nothing."""
    if isinstance(index, SeededIndex):
        seed_transforms(index.seed)


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Shuffled epochs, split over the processes, with a seed for each draw.

    The seed of a sample's transforms depends on the run's seed, the epoch and the position in the
    epoch, not on a worker's history. An interrupted run that resumes therefore sees the same
    samples with the same augmentation as one that was never stopped, with any number of workers.

    Args:
        dataset: the data set, for its length.
        shuffle: draw a new permutation in every epoch.
        seed: of the run; default one drawn and shared by all processes.
        round_up: repeat samples so that every process has equally many.
    """

    def __init__(
        self, dataset, shuffle: bool = True, seed: int | None = None, round_up: bool = True
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.num_skipped = 0
        if len(dataset) == 0:
            raise ValueError(f'{type(dataset).__name__} is empty: nothing to sample from')
        if round_up:
            self.num_samples = -(-len(dataset) // self.world_size)
        else:
            self.num_samples = len(range(self.rank, len(dataset), self.world_size))

    def __iter__(self) -> Iterator[SeededIndex]:
        size = len(self.dataset)
        if self.shuffle:
            generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch))
            order = torch.randperm(size, generator=generator).tolist()
        else:
            order = list(range(size))
        skipped, self.num_skipped = self.num_skipped, 0
        for position in range(skipped, self.num_samples):
            place = position * self.world_size + self.rank
            yield SeededIndex(order[place % size], mix_seed(self.seed, self.epoch, place))

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation and the seeds of the next epoch."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Leave out the first samples of the next epoch: they were used before the run stopped."""
        self.num_skipped = num_samples
