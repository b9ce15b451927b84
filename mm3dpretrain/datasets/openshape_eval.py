"""The evaluation sets of OpenShape's ``meta_data``: ModelNet40 and ScanObjectNN, 10k points."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .class_embeddings import ClassEmbeddings, average_prompts
from .io import SampleError, missing_root_error, read_array_pickle
from .openshape import SOURCE, colored_points
from .scanobjectnn import CLASSES

FEATURE_KEY = 'open_clip_text_feat'


class _OpenShapeTest(BaseShapeDataset):
    """What both sets share.

    Frame: +z up after OpenShape's swap of y and z; size and centre as stored: put
    ``NormalizePoints`` into the pipeline. Records have ``points`` (N, 6) with colours in [0, 1], so
    that ``LoadPoints(attributes=['rgb'])`` works. The points are kept in memory, shared by the
    worker processes.

    Args:
        data_root: OpenShape's ``meta_data``.
        split: 'test', there is no other.
        swap_gravity: False keeps +y up.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        ValueError: for another split.
        FileNotFoundError: if a file is missing.
        SampleError: if one is broken.
    """

    METAINFO = dict(gravity_axis='z', normalization='none')
    FILES: tuple[str, ...] = ()

    def __init__(
        self,
        data_root: str = 'data/openshape/meta_data',
        split: str = 'test',
        swap_gravity: bool = True,
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        if split != 'test':
            raise ValueError(f"{type(self).__name__} has the split 'test' only, got {split!r}")
        self.swap_gravity = swap_gravity
        axis = {} if swap_gravity else {'gravity_axis': 'y'}
        super().__init__(
            data_root=data_root, split=split, metainfo={**axis, **(metainfo or {})}, **kwargs
        )

    def _file(self, name: str) -> Path:
        path = Path(self.data_root) / name
        if not path.is_file():
            layout = '\n'.join(f'  <data_root>/{file}' for file in self.FILES)
            raise missing_root_error(type(self).__name__, path, layout, SOURCE)
        return path

    def _cloud_record(self, sample_id: str, label: int, points: np.ndarray) -> dict:
        return self.record(
            sample_id,
            synset=self._metainfo['classes'][label],
            gt_label=label,
            points=points,
            extra_columns={'rgb': (3, 6)},
        )


@DATASETS.register_module()
class OpenShapeModelNet40(_OpenShapeTest):
    """ModelNet40's test split with 10,000 coloured points (100/255 grey), classes by name.

    OpenShape's own order of classes is that of ``cat_name_pt_feat.npy``; here it is alphabetical,
    as everywhere: match embeddings by name.
    """

    __doc__ += _OpenShapeTest.__doc__.partition('\n')[2]
    FILES = ('modelnet40/test_split.json', 'modelnet40/test_pc.npy')

    def load_data_list(self) -> list[dict]:
        """One record for each shape."""
        path = self._file(self.FILES[0])
        try:
            items = [(item['name'], item['category']) for item in json.loads(path.read_text())]
        except (ValueError, KeyError, TypeError) as error:
            raise SampleError(f'{path}: not a list of name and category ({error})') from error
        file = self._file(self.FILES[1])
        clouds = read_array_pickle(file)
        if len(clouds) != len(items):
            raise SampleError(f'{file}: {len(clouds)} clouds, but {path} lists {len(items)}')
        self.set_classes(sorted({category for _, category in items}))
        label_of = {name: label for label, name in enumerate(self._metainfo['classes'])}
        return [
            self._cloud_record(
                name,
                label_of[category],
                colored_points(
                    cloud['xyz'], cloud.get('rgb'), f'{file}[{i}]', self.swap_gravity, 255
                ),
            )
            for i, ((name, category), cloud) in enumerate(zip(items, clouds))
        ]


@DATASETS.register_module()
class OpenShapeScanObjectNN(_OpenShapeTest):
    """ScanObjectNN as OpenShape evaluates it, 15 classes; grey where there is no colour.

    A scan may have fewer than 10,000 points; OpenShape then draws with repetition
    (``SamplePoints(num_points=10000, allow_repeat=True)``), so that the score depends on the seed.
    """

    __doc__ += _OpenShapeTest.__doc__.partition('\n')[2]
    METAINFO = dict(_OpenShapeTest.METAINFO, classes=CLASSES)
    FILES = ('scanobjectnn/xyz_label.npy',)

    def load_data_list(self) -> list[dict]:
        """One record for each scan."""
        file = self._file(self.FILES[0])
        data = read_array_pickle(file)
        if not isinstance(data, dict) or not {'xyz', 'label'} <= set(data):
            raise SampleError(f"{file}: a dict with 'xyz' and 'label' is wanted")
        labels = np.asarray(data['label']).astype(np.int64).ravel()
        colors = data.get('rgb', [None] * len(labels))
        if not len(labels) == len(data['xyz']) == len(colors):
            raise SampleError(f'{file}: {len(data["xyz"])} clouds, {len(labels)} labels')
        wrong = labels[(labels < 0) | (labels >= len(CLASSES))]
        if len(wrong):
            raise SampleError(f'{file}: label {wrong[0]}, only 0 to {len(CLASSES) - 1} exist')
        return [
            self._cloud_record(
                f'scan_{i:05d}',
                int(label),
                colored_points(xyz, rgb, f'{file}[{i}]', self.swap_gravity),
            )
            for i, (label, xyz, rgb) in enumerate(zip(labels, data['xyz'], colors))
        ]


def read_openshape_classes(
    path: str | os.PathLike, names: Sequence[str] | None = None
) -> ClassEmbeddings:
    """OpenShape's ``*_cat_name_pt_feat.npy`` as class embeddings.

    Args:
        path: a dict name -> ``open_clip_text_feat`` (K, D) (ModelNet40, ScanObjectNN), or an array
            (C, D) without names (``lvis_cat_name_pt_feat.npy``).
        names: the classes in the order that is wanted; for an array, of its rows: the sorted
            categories, ``dataset.metainfo['classes']`` of ``OpenShapeTriplets(split='lvis')``.
            Default those of the dict, in its order.

    Raises:
        SampleError: if the file is missing or something else.
        ValueError: for names that do not fit.
    """
    path = os.fspath(path)
    meta = dict(model='ViT-bigG-14', pretrained='laion2b_s39b_b160k', file=os.path.basename(path))
    found = read_array_pickle(path)
    try:
        if isinstance(found, dict):
            rows = [average_prompts(np.atleast_2d(v[FEATURE_KEY])) for v in found.values()]
            value = ClassEmbeddings(tuple(found), np.stack(rows), meta)
            return value if names is None else value.select(names)
        rows = np.asarray(found, np.float32)
    except (KeyError, IndexError, TypeError) as error:
        raise SampleError(
            f'{path}: a dict name -> {{{FEATURE_KEY!r}: features}} or an array is wanted '
            f'({type(error).__name__}: {error})'
        ) from error
    if names is None:
        raise ValueError(f'{path} has {len(rows)} features without names: give names')
    if rows.ndim != 2 or len(rows) != len(names):
        raise ValueError(f'{path}: features {rows.shape} for {len(names)} names')
    return ClassEmbeddings(tuple(names), np.stack([average_prompts(r[None]) for r in rows]), meta)
