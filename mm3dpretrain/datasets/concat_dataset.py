"""Several data sets as one."""

from __future__ import annotations

from mmengine.dataset import ConcatDataset as MMENGINEConcatDataset

from mm3dpretrain.registry import DATASETS

from .samplers import SeededIndex


@DATASETS.register_module()
class ConcatDataset(MMENGINEConcatDataset):
    """MMEngine's concatenation, which also hands on the seed that an index carries.

    The meta information is that of the first data set; its ``split`` joins the names of all, as
    in 'train+val'.

    Args:
        datasets: configs or data sets.
        ignore_keys: meta information that may differ between the data sets, or 'all' of it
            (default), as sets with different classes are joined for pre-training.
    """

    def __init__(self, datasets, lazy_init: bool = False, ignore_keys='all') -> None:
        built = [DATASETS.build(d) if isinstance(d, dict) else d for d in datasets]
        if ignore_keys == 'all':
            ignore_keys = sorted({key for dataset in built for key in dataset.metainfo})
        super().__init__(built, lazy_init=lazy_init, ignore_keys=ignore_keys)
        splits = [dataset.metainfo['split'] for dataset in built if 'split' in dataset.metainfo]
        if splits:
            self._metainfo['split'] = '+'.join(dict.fromkeys(splits))

    def _get_ori_dataset_idx(self, idx: int) -> tuple[int, int]:
        dataset_idx, sample_idx = super()._get_ori_dataset_idx(idx)
        if isinstance(idx, SeededIndex):
            sample_idx = idx.shifted(int(idx) - sample_idx)
        return dataset_idx, sample_idx
