"""ShapeNet-55 point clouds with rendered views."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.logging import print_log

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .io import list_images, missing_root_error

# Names of the 55 synsets of ShapeNetCore, for sets that come without a taxonomy.json.
SHAPENET_NAMES = {
    '02691156': 'airplane',
    '02747177': 'trash bin',
    '02773838': 'bag',
    '02801938': 'basket',
    '02808440': 'bathtub',
    '02818832': 'bed',
    '02828884': 'bench',
    '02843684': 'birdhouse',
    '02871439': 'bookshelf',
    '02876657': 'bottle',
    '02880940': 'bowl',
    '02924116': 'bus',
    '02933112': 'cabinet',
    '02942699': 'camera',
    '02946921': 'can',
    '02954340': 'cap',
    '02958343': 'car',
    '02992529': 'cellphone',
    '03001627': 'chair',
    '03046257': 'clock',
    '03085013': 'keyboard',
    '03207941': 'dishwasher',
    '03211117': 'display',
    '03261776': 'earphone',
    '03325088': 'faucet',
    '03337140': 'file cabinet',
    '03467517': 'guitar',
    '03513137': 'helmet',
    '03593526': 'jar',
    '03624134': 'knife',
    '03636649': 'lamp',
    '03642806': 'laptop',
    '03691459': 'loudspeaker',
    '03710193': 'mailbox',
    '03759954': 'microphone',
    '03761084': 'microwave',
    '03790512': 'motorbike',
    '03797390': 'mug',
    '03928116': 'piano',
    '03938244': 'pillow',
    '03948459': 'pistol',
    '03991062': 'flowerpot',
    '04004475': 'printer',
    '04074963': 'remote control',
    '04090263': 'rifle',
    '04099429': 'rocket',
    '04225987': 'skateboard',
    '04256520': 'sofa',
    '04330267': 'stove',
    '04379243': 'table',
    '04401088': 'telephone',
    '04460130': 'tower',
    '04468005': 'train',
    '04530566': 'watercraft',
    '04554684': 'washing machine',
}

COUNTS = {'train': 41952, 'test': 10518}
IMAGES = ('none', 'optional', 'required')

LAYOUT = """\
  <data_root>/ShapeNet55-34/shapenet_pc/<synset>-<model_id>.npy      8192 x 3
  <data_root>/ShapeNet55-34/ShapeNet-55/{train,test}.txt             one file name per line
  <data_root>/ShapeNetRendering/<synset>/<model_id>/rendering/*.png  pictures (optional)"""
SOURCE = (
    'points: the ShapeNet55/34 archive linked in the Point-BERT repository (DATASET.md); '
    'pictures: the ShapeNetRendering archive of 3D-R2N2'
)


@DATASETS.register_module()
class ShapeNet55(BaseShapeDataset):
    """ShapeNet-55 clouds of 8192 points, with pictures where they exist.

    Frame: ShapeNet's, +y up, inside the unit sphere as stored. The clouds of Point-BERT have 41952
    training and 10518 test files. Pictures of 3D-R2N2 exist for 13 of the 55 categories only:
    with ``images='required'`` the ids of both are intersected and the number of dropped samples
    is logged. ULIP's pictures cover all 55.

    The synthetic set of this package is written in the same layout and read by this class; it
    adds ``cameras.npz`` beside the pictures, ``shapenet_attributes/``, ``taxonomy.json`` and
    ``captions.json``, all optional.

    Args:
        data_root: folder with the sub-folders below.
        data_prefix: ``points`` (``.npy`` files), ``lists`` (``train.txt``, ``test.txt``),
            ``images`` and ``attributes``, relative to ``data_root``.
        split: 'train' or 'test', the name of the list without ``.txt``.
        whole: train and test together, as Point-BERT pre-trains.
        images: 'none'; 'optional' lists what there is; 'required' drops samples without pictures.
        image_layout: 'r2n2': ``<images>/<synset>/<model_id>/rendering/*.png``; 'ulip':
            ``<images>/<synset>-<model_id>/*.png``. Files with 'depth' in their name are left out.
        expected_count: 'auto' for the published number (a warning if it differs), None for none.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        FileNotFoundError: if lists or clouds are missing.
        ValueError: for unknown options, an empty or malformed list, or if pictures are required
            and no sample has any.
    """

    METAINFO = dict(gravity_axis='y', normalization='unit_sphere')
    PREFIX = dict(
        points='ShapeNet55-34/shapenet_pc',
        lists='ShapeNet55-34/ShapeNet-55',
        images='ShapeNetRendering',
        attributes='shapenet_attributes',
    )

    def __init__(
        self,
        data_root: str = 'data',
        data_prefix: Mapping[str, str] | None = None,
        split: str = 'train',
        whole: bool = False,
        images: str = 'none',
        image_layout: str = 'r2n2',
        expected_count: int | str | None = 'auto',
        **kwargs,
    ) -> None:
        if images not in IMAGES:
            raise ValueError(f'images must be one of {IMAGES}, got {images!r}')
        if image_layout not in ('r2n2', 'ulip'):
            raise ValueError(f"image_layout must be 'r2n2' or 'ulip', got {image_layout!r}")
        unknown = set(data_prefix or {}) - set(self.PREFIX)
        if unknown:
            raise ValueError(f'unknown data_prefix {sorted(unknown)}, known: {list(self.PREFIX)}')
        self.whole = whole
        self.images = images
        self.image_layout = image_layout
        # the published numbers are checked on the lists, before samples without pictures go
        self.expected_list_count = expected_count
        super().__init__(
            data_root=data_root,
            data_prefix={**self.PREFIX, **(data_prefix or {})},
            split='whole' if whole else split,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Records of the listed files; see :class:`BaseShapeDataset`."""
        lists = Path(self.data_prefix['lists'])
        points_dir = Path(self.data_prefix['points'])
        for path in (lists, points_dir):
            if not path.is_dir():
                raise missing_root_error('ShapeNet55', path, LAYOUT, SOURCE)
        splits = ('train', 'test') if self.whole else (self.split,)
        names = [name for split in splits for name in self._read_list(split)]
        self._check_count(len(names))
        label_of = self._read_classes(names)
        captions = self._read_captions()
        attributes = self._listing(Path(self.data_prefix['attributes']))
        models_with_images: dict[str, set[str]] = {}
        records = []
        for name in names:
            sample_id = name.removesuffix('.npy')
            synset, _, model_id = sample_id.partition('-')
            record = self.record(
                sample_id,
                synset=synset,
                model_id=model_id,
                gt_label=label_of[synset],
                points_path=str(points_dir / name),
                caption=captions.get(sample_id, []),
            )
            if f'{sample_id}.npz' in attributes:
                record['attributes_path'] = os.path.join(
                    self.data_prefix['attributes'], f'{sample_id}.npz'
                )
            if self.images != 'none':
                self._add_images(record, models_with_images)
            records.append(record)
        if self.images == 'required':
            records = self._drop_without_images(records)
        return records

    # ------------------------------------------------------------------ parts

    def _read_list(self, split: str) -> list[str]:
        path = Path(self.data_prefix['lists']) / f'{split}.txt'
        if not path.is_file():
            known = sorted(p.stem for p in path.parent.glob('*.txt'))
            raise FileNotFoundError(f'ShapeNet55: no list {path}; there are the splits {known}')
        names = path.read_text().split()
        for name in names:
            if '-' not in name or not name.endswith('.npy'):
                raise ValueError(f'{path}: {name!r} is not a name like <synset>-<model_id>.npy')
        if not names:
            raise ValueError(f'{path}: the list is empty')
        return names

    def _check_count(self, count: int) -> None:
        expected = self.expected_list_count
        if expected == 'auto':
            expected = sum(COUNTS.values()) if self.whole else COUNTS.get(self.split)
        if expected is not None and count != expected:
            self._warn(
                f'ShapeNet55: {count} samples listed in split {self.split!r} of {self.data_root}, '
                f'{expected} expected: the download may be incomplete, or another version '
                '(expected_count=None silences this)'
            )

    def _read_classes(self, names: list[str]) -> dict[str, int]:
        """Synset -> label: the order of taxonomy.json, else sorted synsets of all lists."""
        taxonomy = Path(self.data_root) / 'taxonomy.json'
        if taxonomy.is_file():
            entries = json.loads(taxonomy.read_text())
            text = {e['synsetId']: e['name'].split(',')[0].strip() for e in entries}
            self._set_parts(entries)
        else:
            # all lists, so that the labels of train and test agree
            listed = set(names)
            for path in Path(self.data_prefix['lists']).glob('*.txt'):
                listed.update(path.read_text().split())
            synsets = sorted({name.partition('-')[0] for name in listed})
            text = {synset: SHAPENET_NAMES.get(synset, synset) for synset in synsets}
        missing = sorted({name.partition('-')[0] for name in names} - set(text))
        if missing:
            raise ValueError(f'{taxonomy}: no entry for the listed synsets {missing}')
        self.set_classes(text.values())
        self._metainfo.setdefault('synsets', tuple(text))
        return {synset: label for label, synset in enumerate(text)}

    def _set_parts(self, entries: list[dict]) -> None:
        """Meta information on parts, which the taxonomy of the synthetic set has."""
        if not all('parts' in entry and 'part_offset' in entry for entry in entries):
            return
        part_ids, names = {}, {}
        for entry in entries:
            name, first = entry['name'].split(',')[0].strip(), entry['part_offset']
            part_ids[name] = list(range(first, first + len(entry['parts'])))
            names.update(zip(part_ids[name], (f'{name}/{part}' for part in entry['parts'])))
        self._metainfo.setdefault('part_ids', part_ids)
        self._metainfo.setdefault(
            'part_names', tuple(names.get(i, '') for i in range(max(names) + 1))
        )

    def _read_captions(self) -> dict[str, list[str]]:
        path = Path(self.data_root) / 'captions.json'
        return json.loads(path.read_text()) if path.is_file() else {}

    @staticmethod
    def _listing(folder: Path) -> set[str]:
        return set(os.listdir(folder)) if folder.is_dir() else set()

    def _add_images(self, record: dict, listed: dict[str, set[str]]) -> None:
        """Add ``img_dir``, ``img_names`` and ``camera_path`` of the views that exist."""
        images = Path(self.data_prefix['images'])
        synset, model_id = record['synset'], record['model_id']
        if self.image_layout == 'r2n2':
            # one listing per category: most models of ShapeNet-55 have no folder at all
            if synset not in listed:
                listed[synset] = self._listing(images / synset)
            if model_id not in listed[synset]:
                return
            folder = images / synset / model_id / 'rendering'
        else:
            if '' not in listed:
                listed[''] = self._listing(images)
            if record['sample_id'] not in listed['']:
                return
            folder = images / record['sample_id']
        names = list_images(folder)
        if names:
            record.update(img_dir=str(folder), img_names=names)
            cameras = folder / 'cameras.npz'
            record['camera_path'] = str(cameras) if cameras.is_file() else None

    def _drop_without_images(self, records: list[dict]) -> list[dict]:
        kept = [record for record in records if record.get('img_names')]
        if not kept:
            raise ValueError(
                f'ShapeNet55: none of {len(records)} samples has pictures in '
                f'{self.data_prefix["images"]} ({self.image_layout} layout). Get them (see '
                "docs/datasets.md), set data_prefix=dict(images=...), or images='none'."
            )
        if len(kept) < len(records):
            categories = len({record['synset'] for record in kept})
            print_log(
                f'ShapeNet55: {len(records) - len(kept)} of {len(records)} samples have no '
                f'pictures and are dropped; {len(kept)} in {categories} categories remain',
                logger='current',
            )
        return kept
