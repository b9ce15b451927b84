"""Training loops."""

from __future__ import annotations

from mmengine.runner import EpochBasedTrainLoop

from mm3dpretrain.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """Epoch-based training that also resumes inside an epoch.

    MMEngine's loop starts the epoch of a mid-epoch checkpoint again from its first batch and so
    trains on some batches twice. This one leaves out the batches that were already used. The
    sampler must offer ``skip`` (:class:`~mm3dpretrain.datasets.SeededSampler` does).
    """

    def run_epoch(self) -> None:
        """Run the rest of the current epoch, which is all of it unless a run was resumed."""
        done = self._iter - self._epoch * len(self.dataloader)
        if done:
            sampler = self.dataloader.sampler
            if not hasattr(sampler, 'skip'):
                raise ValueError(
                    f'cannot resume inside an epoch (batch {done} of {len(self.dataloader)}) with '
                    f'{type(sampler).__name__}: use sampler=dict(type="SeededSampler")'
                )
            # the sampler is read by the loader's iterator, which starts below
            sampler.skip(done * self.dataloader.batch_sampler.batch_size)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader, start=done):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
