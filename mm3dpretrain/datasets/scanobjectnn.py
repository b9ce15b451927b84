"""ScanObjectNN: real scans of indoor objects."""

from __future__ import annotations

from pathlib import Path

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .io import missing_root_error
from .modelnet import read_labelled_hdf5

CLASSES = (
    'bag', 'bin', 'box', 'cabinet', 'chair', 'desk', 'display', 'door',
    'shelf', 'table', 'bed', 'pillow', 'sink', 'sofa', 'toilet',
)  # fmt: skip

# variant -> folder, what follows '..._objectdataset' in the file name, shapes in train and test
VARIANTS = {
    'obj_bg': ('main_split', '', {'train': 2309, 'test': 581}),
    'obj_only': ('main_split_nobg', '', {'train': 2309, 'test': 581}),
    'pb_t50_rs': ('main_split', '_augmentedrot_scale75', {'train': 11416, 'test': 2882}),
}

LAYOUT = """\
  <data_root>/main_split/{training,test}_objectdataset.h5                       obj_bg
  <data_root>/main_split_nobg/{training,test}_objectdataset.h5                  obj_only
  <data_root>/main_split/{training,test}_objectdataset_augmentedrot_scale75.h5  pb_t50_rs
  each with data (n, 2048, 3) and label (n)"""
SOURCE = 'the form of the ScanObjectNN project (HKUST); h5_files.zip'


@DATASETS.register_module()
class ScanObjectNN(BaseShapeDataset):
    """ScanObjectNN, 15 classes, 2048 points a shape.

    Frame: +y up, metres up to the variant's perturbation, not centred in the unit sphere: put
    ``NormalizePoints`` into the pipeline. The points are kept in memory, shared by the worker
    processes (PB-T50-RS: 280 MB).

    Args:
        data_root: folder of ``main_split`` and ``main_split_nobg``.
        split: 'train' or 'test'.
        variant: 'obj_bg' objects with background, 'obj_only' without, 'pb_t50_rs' the hardest one
            (boxes shifted by half, rotated and scaled).
        expected_count: 'auto' for the published number (a warning if it differs), None for none.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        ValueError: for an unknown variant or split.
        FileNotFoundError: if the file is missing.
        SampleError: if it is truncated, lacks a key, or has NaN or infinite points.
    """

    METAINFO = dict(gravity_axis='y', normalization='none', classes=CLASSES)

    def __init__(
        self,
        data_root: str = 'data/ScanObjectNN',
        split: str = 'train',
        variant: str = 'pb_t50_rs',
        expected_count: int | str | None = 'auto',
        **kwargs,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f'variant must be one of {list(VARIANTS)}, got {variant!r}')
        if split not in ('train', 'test'):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        self.variant = variant
        if expected_count == 'auto':
            expected_count = VARIANTS[variant][2][split]
        super().__init__(data_root=data_root, split=split, expected_count=expected_count, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each scan."""
        folder, suffix, _ = VARIANTS[self.variant]
        part = 'training' if self.split == 'train' else 'test'
        path = Path(self.data_root) / folder / f'{part}_objectdataset{suffix}.h5'
        if not path.is_file():
            raise missing_root_error('ScanObjectNN', path, LAYOUT, SOURCE)
        points, labels = read_labelled_hdf5(path, len(CLASSES))
        return [
            self.record(
                f'{self.variant}_{part}_{row:05d}',
                synset=CLASSES[label],
                gt_label=label,
                points=cloud,
            )
            for row, (cloud, label) in enumerate(zip(points, labels.tolist()))
        ]
