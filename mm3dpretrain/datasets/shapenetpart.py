"""ShapeNetPart: 16 categories of ShapeNet with 50 parts."""

from __future__ import annotations

import json
from pathlib import Path

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .io import SampleError, missing_root_error

# category -> number of its parts. The 50 ids count through the categories in this order.
PART_COUNTS = {
    'Airplane': 4, 'Bag': 2, 'Cap': 2, 'Car': 4, 'Chair': 4, 'Earphone': 3, 'Guitar': 3,
    'Knife': 2, 'Lamp': 4, 'Laptop': 2, 'Motorbike': 6, 'Mug': 2, 'Pistol': 3, 'Rocket': 3,
    'Skateboard': 3, 'Table': 3,
}  # fmt: skip
COUNTS = {'train': 12137, 'val': 1870, 'test': 2874, 'trainval': 14007}

LAYOUT = """\
  <data_root>/synsetoffset2category.txt                                  Airplane 02691156
  <data_root>/train_test_split/shuffled_{train,val,test}_file_list.json  shape_data/<synset>/<id>
  <data_root>/<synset>/<id>.txt                                          x y z nx ny nz part"""
SOURCE = 'shapenetcore_partanno_segmentation_benchmark_v0_normal.zip, linked by PointNet++'


def part_ids() -> dict[str, list[int]]:
    """Category -> ids of its parts, 50 over all categories."""
    ids, first = {}, 0
    for name, count in PART_COUNTS.items():
        ids[name] = list(range(first, first + count))
        first += count
    return ids


@DATASETS.register_module()
class ShapeNetPart(BaseShapeDataset):
    """ShapeNetPart with normals: about 2,600 points a shape, each with one of 50 parts.

    Frame: ShapeNet's, +y up, about in the unit sphere: put ``NormalizePoints`` into the pipeline.
    ``LoadPoints(load_part=True)`` gives ``gt_part``, ``attributes=('normal',)`` the normals. The
    meta information has ``part_ids`` (category -> its ids). Text files are kept as small binary
    files at their first access.

    Args:
        data_root: folder of the set.
        split: 'train', 'val', 'test', or 'trainval' (what published results train on).
        cache_dir: where the binary files go; None reads the text every time.
        expected_count: 'auto' for the published number (a warning if it differs), None for none.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        ValueError: for an unknown split.
        FileNotFoundError: if the lists are missing.
        SampleError: if a list is broken or names an unknown category.
    """

    METAINFO = dict(
        gravity_axis='y',
        normalization='none',
        classes=tuple(PART_COUNTS),
        part_ids=part_ids(),
        part_names=tuple(
            f'{name}/{number}' for name, count in PART_COUNTS.items() for number in range(count)
        ),
    )

    def __init__(
        self,
        data_root: str = 'data/shapenetcore_partanno_segmentation_benchmark_v0_normal',
        split: str = 'trainval',
        cache_dir: str | None = 'data/cache/shapenetpart',
        expected_count: int | str | None = 'auto',
        **kwargs,
    ) -> None:
        if split not in COUNTS:
            raise ValueError(f'split must be one of {list(COUNTS)}, got {split!r}')
        self.cache_dir = cache_dir
        if expected_count == 'auto':
            expected_count = COUNTS[split]
        super().__init__(data_root=data_root, split=split, expected_count=expected_count, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each shape, sorted by category and id."""
        root = Path(self.data_root)
        category_of = self._read_categories(root / 'synsetoffset2category.txt')
        label_of = {name: label for label, name in enumerate(PART_COUNTS)}
        splits = ('train', 'val') if self.split == 'trainval' else (self.split,)
        names = sorted({name for split in splits for name in self._read_list(root, split)})
        records = []
        for synset, model_id in names:
            if synset not in category_of:
                raise SampleError(
                    f'{root}: {synset}/{model_id} is listed, but synsetoffset2category.txt has no '
                    f'{synset}'
                )
            record = self.record(
                f'{synset}-{model_id}',
                synset=synset,
                model_id=model_id,
                gt_label=label_of[category_of[synset]],
                points_path=str(root / synset / f'{model_id}.txt'),
                mesh_points=0,  # clouds are returned whole
                cache_dir=self.cache_dir,
                extra_columns=dict(normal=(3, 6), part=(6, 7)),
            )
            records.append(record)
        return records

    def _read_categories(self, path: Path) -> dict[str, str]:
        """Synset -> category."""
        if not path.is_file():
            raise missing_root_error('ShapeNetPart', path, LAYOUT, SOURCE)
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
        wrong = [row for row in rows if len(row) != 2 or row[0] not in PART_COUNTS]
        if wrong:
            raise SampleError(
                f'{path}: {" ".join(wrong[0])!r} is no line of one of the categories '
                f'{list(PART_COUNTS)} and its synset'
            )
        return {synset: name for name, synset in rows}

    def _read_list(self, root: Path, split: str) -> list[tuple[str, str]]:
        """(synset, id) of the shapes of a split."""
        path = root / 'train_test_split' / f'shuffled_{split}_file_list.json'
        if not path.is_file():
            raise missing_root_error('ShapeNetPart', path, LAYOUT, SOURCE)
        try:
            entries = [str(entry).split('/') for entry in json.loads(path.read_text())]
        except (ValueError, TypeError) as error:
            raise SampleError(f'{path}: not a JSON list ({error})') from error
        wrong = [entry for entry in entries if len(entry) < 2]
        if wrong:
            raise SampleError(f'{path}: {wrong[0]} is not shape_data/<synset>/<id>')
        return [(entry[-2], entry[-1]) for entry in entries]
