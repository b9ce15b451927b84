"""Training on an endless stream of samples that resumes where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import IterBasedTrainLoop

from mm3dpretrain.registry import LOOPS

STREAM = 'data_stream'


@LOOPS.register_module()
class ResumableIterTrainLoop(IterBasedTrainLoop):
    """Iteration-based training on a data set with ``start_at``.

    MMEngine's loop resumes by loading all batches up to the checkpoint and throwing them away. This
    one tells the data set (:class:`~mm3dpretrain.datasets.ShardedTriplets`) with which batch to
    begin. What the order of the samples depends on is kept in the checkpoint; a resumed run in
    which it is another would repeat some samples and lose others, and is refused.

    Raises:
        ValueError: for a data set without ``start_at``, ``persistent_workers=True`` (the loader
            processes of a stream that is begun anew would not hear of it), or resuming with other
            numbers of ranks, loader processes or samples, another batch size or another seed.
    """

    def run(self):
        """Train, from the first batch that was not used yet."""
        loader = self.dataloader
        if not hasattr(loader.dataset, 'start_at'):
            raise ValueError(
                f'{type(loader.dataset).__name__} cannot begin at a batch: use IterBasedTrainLoop, '
                'or ResumableTrainLoop with epochs'
            )
        if loader.persistent_workers:
            raise ValueError('set persistent_workers=False: a stream has no second epoch')
        found = self.runner.message_hub.runtime_info.get(STREAM)
        if loader.dataset.seed is None:
            loader.dataset.seed = self.runner.seed if found is None else found['seed']
        stream = dict(
            ranks=get_world_size(),
            num_workers=loader.num_workers,
            batch_size=loader.batch_size,
            samples=loader.dataset.num_samples,
            seed=loader.dataset.seed,
        )
        if self._iter > 0 and found not in (None, stream):
            raise ValueError(
                f'the checkpoint was trained on the stream {found}, this run has {stream}: '
                'resumed, it would repeat some samples and lose others. Make them equal, or start '
                'anew with load_from and resume=False'
            )
        self.runner.message_hub.update_info(STREAM, stream)
        loader.dataset.start_at(self._iter, loader.batch_size)
        # MMEngine has begun to read already, from the first batch; and it asks for _iter batches
        # to throw them away
        self.dataloader_iterator = _After(self._iter, lambda: iter(loader))
        try:
            return super().run()
        finally:
            # left to the garbage collector, every loader process would be waited for
            self.dataloader_iterator = None


class _After:
    """An iterator that gives nothing ``skipped`` times and then begins."""

    def __init__(self, skipped: int, begin: Callable[[], Iterator]) -> None:
        self.skipped = skipped
        self.begin = begin
        self.iterator: Iterator | None = None

    def __iter__(self) -> _After:
        return self

    def __next__(self) -> Any:
        if self.skipped:
            self.skipped -= 1
            return None
        if self.iterator is None:
            self.iterator = self.begin()
        return next(self.iterator)
