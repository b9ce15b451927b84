"""Data sets of point cloud completion: PCN, and ShapeNet-55 by the protocol of PoinTr."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .io import SampleError, missing_root_error
from .shapenet55 import SHAPENET_NAMES, ShapeNet55

PCN_COUNTS = {'train': 28974, 'val': 800, 'test': 1200}
PCN_SYNSETS = (
    '02691156', '02933112', '02958343', '03001627', '03636649', '04256520', '04379243', '04530566',
)  # fmt: skip
PCN_LAYOUT = """\
  <data_root>/{train,val,test}/partial/<synset>/<id>/00.pcd ... 07.pcd   2048 points
  <data_root>/{train,val,test}/complete/<synset>/<id>.pcd                16384 points
  <data_root>/PCN.json                                                   lists (optional)"""
PCN_SOURCE = 'the PCN data set (Yuan et al., 2018), as GRNet and PoinTr lay it out'

# removed share of the points -> what ShapeNet-55's tables call it
DIFFICULTIES = {0.25: 'simple', 0.5: 'moderate', 0.75: 'hard'}
NUM_VIEWPOINTS = 8


@DATASETS.register_module()
class PCN(BaseShapeDataset):
    """PCN: partial clouds of 8 categories of ShapeNet, each with the complete one.

    Frame: ShapeNet's, +y up, box diagonal 1, so within a sphere of radius 0.5 (the models here see
    it through ``input_scale=2``). The training split has 8 partial clouds a shape, the others one.
    ``LoadCompletionPair`` reads them; ``.pcd``, ``.npy``, ``.npz``, ``.ply`` and text files.

    Args:
        data_root: folder of the set.
        split: 'train', 'val' or 'test'.
        expected_count: 'auto' for the published number (a warning if it differs), None for none.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        ValueError: for an unknown split.
        FileNotFoundError: if the folders are missing.
        SampleError: if ``PCN.json`` is broken.
    """

    METAINFO = dict(
        gravity_axis='y',
        normalization='none',
        classes=tuple(SHAPENET_NAMES[synset] for synset in PCN_SYNSETS),
        synsets=PCN_SYNSETS,
    )

    def __init__(
        self,
        data_root: str = 'data/PCN',
        split: str = 'train',
        expected_count: int | str | None = 'auto',
        **kwargs,
    ) -> None:
        if split not in PCN_COUNTS:
            raise ValueError(f'split must be one of {list(PCN_COUNTS)}, got {split!r}')
        if expected_count == 'auto':
            expected_count = PCN_COUNTS[split]
        super().__init__(data_root=data_root, split=split, expected_count=expected_count, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each shape: ``points_path`` is the complete cloud."""
        root = Path(self.data_root) / self.split
        complete = root / 'complete'
        if not complete.is_dir():
            raise missing_root_error('PCN', complete, PCN_LAYOUT, PCN_SOURCE)
        listed = self._read_lists()
        records = []
        for label, synset in enumerate(PCN_SYNSETS):
            files = sorted(os.listdir(complete / synset)) if (complete / synset).is_dir() else []
            file_of = {Path(name).stem: name for name in files if not name.startswith('.')}
            wanted = file_of if listed is None else listed.get(synset, [])
            missing = [model_id for model_id in wanted if model_id not in file_of]
            if missing:
                raise FileNotFoundError(
                    f'PCN: {len(missing)} shapes of PCN.json are not in {complete / synset}, the '
                    f'first is {missing[0]}'
                )
            for model_id in wanted:
                record = self.record(
                    f'{synset}-{model_id}',
                    synset=synset,
                    model_id=model_id,
                    gt_label=label,
                    points_path=str(complete / synset / file_of[model_id]),
                    partial_dir=str(root / 'partial' / synset / model_id),
                )
                records.append(record)
        return records

    def _read_lists(self) -> dict[str, list[str]] | None:
        """Synset -> ids of the split, or None where there is no ``PCN.json``."""
        path = Path(self.data_root) / 'PCN.json'
        if not path.is_file():
            return None
        try:
            entries = json.loads(path.read_text())
            return {entry['taxonomy_id']: list(entry[self.split]) for entry in entries}
        except (ValueError, KeyError, TypeError) as error:
            raise SampleError(f'{path}: not the list of PCN ({error!r})') from error


@DATASETS.register_module()
class ShapeNet55Completion(ShapeNet55):
    """ShapeNet-55 (or the synthetic set) for the completion test of PoinTr.

    Every shape is seen from the 8 corners of the cube (+-1, +-1, +-1), and 25, 50 and 75 % of its
    points, those nearest to the corner, are removed: 'simple', 'moderate' and 'hard'. Records have
    ``viewpoint_index`` (0 to 7), ``crop_ratio`` and ``difficulty``, which ``RemoveNearest`` and
    ``CompletionMetric`` read. For training use :class:`ShapeNet55` itself: the transform then
    draws both.

    Args:
        num_viewpoints: how many of the corners, 1 to 8.
        crop_ratios: removed shares, of 0.25, 0.5, 0.75.
        **kwargs: see :class:`ShapeNet55`. The lists of ShapeNet-34 and its unseen 21 categories
            are ``data_prefix=dict(lists='ShapeNet55-34/ShapeNet-34')`` and so on.

    Raises:
        ValueError: for another number of viewpoints or another share.
    """

    def __init__(
        self,
        num_viewpoints: int = NUM_VIEWPOINTS,
        crop_ratios: Sequence[float] = tuple(DIFFICULTIES),
        **kwargs,
    ) -> None:
        unknown = [ratio for ratio in crop_ratios if ratio not in DIFFICULTIES]
        if not 1 <= num_viewpoints <= NUM_VIEWPOINTS or unknown or not crop_ratios:
            raise ValueError(
                f'need 1 to {NUM_VIEWPOINTS} viewpoints and crop_ratios of {list(DIFFICULTIES)}, '
                f'got {num_viewpoints} and {list(crop_ratios)}'
            )
        self.num_viewpoints = num_viewpoints
        self.crop_ratios = tuple(crop_ratios)
        super().__init__(**kwargs)

    def prepare_records(self, records: list[dict]) -> list[dict]:
        """Each record once for every viewpoint and share, shape by shape."""
        return [
            dict(
                record,
                sample_id=f'{record["sample_id"]}@{viewpoint}-{DIFFICULTIES[ratio]}',
                viewpoint_index=viewpoint,
                crop_ratio=ratio,
                difficulty=DIFFICULTIES[ratio],
            )
            for record in super().prepare_records(records)
            for viewpoint in range(self.num_viewpoints)
            for ratio in self.crop_ratios
        ]
