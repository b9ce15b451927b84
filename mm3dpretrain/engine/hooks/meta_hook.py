"""What a checkpoint says about itself."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.utils import get_git_hash

from mm3dpretrain.registry import HOOKS
from mm3dpretrain.version import __version__


@HOOKS.register_module()
class CheckpointMetaHook(Hook):
    """Write method, data conventions and channels into ``checkpoint['meta']['mm3dpretrain']``.

    Loading for inference compares them with what the user is about to do; most "bad zero-shot
    accuracy" reports in this field turn out to be another up-axis or normalisation. The identity of
    the teacher whose embeddings the data brought (``embedding_key`` of the data samples) goes with
    it, so that texts of another space are refused.

    Args:
        gravity_axis: 'x', 'y', 'z' or 'none' (unknown or random); default what the training data
            set says.
        normalization: such as 'unit_sphere'; default what the training data set says.
        point_channels: names of the point channels in order.
    """

    def __init__(
        self,
        gravity_axis: str | None = None,
        normalization: str | None = None,
        point_channels: tuple[str, ...] = ('x', 'y', 'z'),
    ) -> None:
        self.gravity_axis = gravity_axis
        self.normalization = normalization
        self.point_channels = tuple(point_channels)
        self.embedding_key: str | None = None

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Remember the teacher of the first batch."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        if self.embedding_key is None and samples and samples[0] is not None:
            self.embedding_key = samples[0].get('embedding_key')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the record to the checkpoint that is about to be written."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        metainfo = getattr(runner.train_dataloader.dataset, 'metainfo', {})
        record = dict(
            version=__version__,
            method=type(model).__name__,
            git=get_git_hash(digits=12),
            gravity_axis=self.gravity_axis or metainfo.get('gravity_axis', 'none'),
            normalization=self.normalization or metainfo.get('normalization', 'unknown'),
            point_channels=list(self.point_channels),
            transfer_modules=dict(getattr(model, 'transfer_modules', {})),
        )
        if self.embedding_key is not None:
            record['embedding_key'] = self.embedding_key
        checkpoint['meta']['mm3dpretrain'] = record
