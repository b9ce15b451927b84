"""N-way K-shot tasks: the published folds of ModelNet40, and folds of any labelled set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .io import SampleError, check_cloud, missing_root_error, read_array_pickle
from .subsets import few_shot_fold

LAYOUT = '  <data_root>/{5,10}way_{10,20}shot/{0..9}.pkl     {"train": [...], "test": [...]}'
SOURCE = 'the ModelNetFewshot archive linked in the Point-BERT repository (DATASET.md)'


@DATASETS.register_module()
class ModelNetFewShot(BaseShapeDataset):
    """The published few-shot folds of ModelNet40: N-way K-shot, 20 queries a class, 10 folds.

    Frame: +y up, about in the unit sphere; 8192 points with normals. The folds are pickles, which
    can run any code when they are loaded: they are read by an unpickler that knows numpy arrays
    and refuses anything else.

    Args:
        data_root: folder of the ``<way>way_<shot>shot`` folders.
        split: 'train' (support) or 'test' (queries).
        way: N, classes of the task.
        shot: K, support samples of each class.
        fold: number of the fold.
        expected_count: 'auto' for way * shot, or way * 20 queries (a warning if it differs), None
            for none.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        ValueError: for another split.
        FileNotFoundError: if the file is missing.
        SampleError: if it is broken, or holds anything but arrays and labels of the task.
    """

    METAINFO = dict(gravity_axis='y', normalization='unit_sphere')

    def __init__(
        self,
        data_root: str = 'data/ModelNetFewshot',
        split: str = 'train',
        way: int = 5,
        shot: int = 10,
        fold: int = 0,
        expected_count: int | str | None = 'auto',
        **kwargs,
    ) -> None:
        if split not in ('train', 'test'):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        self.way, self.shot, self.fold = way, shot, fold
        if expected_count == 'auto':
            expected_count = way * (shot if split == 'train' else 20)
        super().__init__(data_root=data_root, split=split, expected_count=expected_count, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each shape, in the order of the file."""
        path = Path(self.data_root) / f'{self.way}way_{self.shot}shot' / f'{self.fold}.pkl'
        if not path.is_file():
            raise missing_root_error('ModelNetFewShot', path, LAYOUT, SOURCE)
        content = read_array_pickle(path)
        if not isinstance(content, Mapping) or not isinstance(content.get(self.split), list):
            raise SampleError(f'{path}: expected a dict with the lists train and test')
        self.set_classes([f'class {label}' for label in range(self.way)])
        return [
            self._record(row, entry, f'{path}[{self.split}][{row}]')
            for row, entry in enumerate(content[self.split])
        ]

    def _record(self, row: int, entry, source: str) -> dict:
        try:
            points, label = entry[0], int(np.asarray(entry[1]).reshape(-1)[0])
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise SampleError(f'{source}: not (points, label, ...) ({error})') from error
        if not 0 <= label < self.way:
            raise SampleError(f'{source}: label {label} in a {self.way}-way task')
        points = check_cloud(points, source)
        record = self.record(
            f'{self.split}_{row:04d}', synset=f'class {label}', gt_label=label, points=points
        )
        if points.shape[1] >= 6:
            record['extra_columns'] = dict(normal=(3, 6))
        return record


@DATASETS.register_module()
class FewShotFold(BaseShapeDataset):
    """A few-shot task drawn from any labelled data set, the same everywhere.

    Which samples a fold has is decided by :func:`~mm3dpretrain.datasets.subsets.few_shot_fold`
    from their names, labels and a fixed list of seeds. Labels become 0 to way - 1.

    Args:
        source: config of the labelled set (without pipeline) that supports come from.
        query_source: config of the set that queries come from, with the same classes; default the
            rest of ``source``.
        split: 'train' (support) or 'test' (queries).
        way: N, classes of the task.
        shot: K, support samples of each class.
        queries: query samples of each class.
        fold: 0 to 9.
        **kwargs: see :class:`BaseShapeDataset`; the ``pipeline`` stands here.

    Raises:
        ValueError: for another split, sets of different classes, or too few classes with enough
            samples.
    """

    def __init__(
        self,
        source: Mapping,
        query_source: Mapping | None = None,
        split: str = 'train',
        way: int = 5,
        shot: int = 10,
        queries: int = 20,
        fold: int = 0,
        **kwargs,
    ) -> None:
        if split not in ('train', 'test'):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        self.source, self.query_source = source, query_source
        self.way, self.shot, self.queries, self.fold = way, shot, queries, fold
        super().__init__(split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Records of the source for this split of the fold, class after class."""
        pool = _Pool(self.source)
        query_pool = pool if self.query_source is None else _Pool(self.query_source)
        if pool.classes != query_pool.classes:
            raise ValueError('FewShotFold: source and query_source have different classes')
        separate = {}
        if query_pool is not pool:
            separate = dict(query_labels=query_pool.labels, query_names=query_pool.names)
        fold = few_shot_fold(
            pool.labels, pool.names, self.way, self.shot, self.queries, self.fold, **separate
        )
        if pool.classes:
            self.set_classes([pool.classes[label] for label in fold.classes])
        self._metainfo['fold_classes'] = tuple(fold.classes)
        chosen, records = (fold.support, pool) if self.split == 'train' else (
            fold.query, query_pool
        )  # fmt: skip
        return [
            dict(records.infos[place], gt_label=label)
            for label, places in enumerate(chosen)
            for place in places
        ]


class _Pool:
    """Records, labels, names and classes of a data set."""

    def __init__(self, config: Mapping) -> None:
        # a set of a few folds is small: its records need no second, serialised copy
        dataset = DATASETS.build(dict(config, pipeline=[], serialize_data=False))
        self.infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        self.labels = [info['gt_label'] for info in self.infos]
        self.names = [info['sample_id'] for info in self.infos]
        self.classes = tuple(dataset.metainfo.get('classes', ()))
