"""What all data sets of single objects share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import force_full_init

from .base import PretrainDataset
from .io import SampleError
from .samplers import seed_sample
from .subsets import label_fraction_subset

ON_ERROR = ('raise', 'skip')


class BaseShapeDataset(PretrainDataset):
    """Objects as point clouds, with pictures, labels, attributes and captions where they exist.

    A subclass gives :meth:`load_data_list`. A record has the keys

    - ``sample_id``, ``synset``, ``model_id`` (str), ``gt_label`` (int, -1 unknown),
      ``caption`` (list of str), ``gravity_axis`` ('x' | 'y' | 'z' | 'none'), ``normalization``;
    - the points: ``points`` (N, C) itself, or ``points_path``, with ``points_index`` for row i of
      a stacked ``.npy``, or with ``mesh_points``, ``seed`` and ``cache_dir`` for a mesh or text
      file (see :func:`~mm3dpretrain.datasets.mesh_io.read_cloud`);
    - the pictures: ``img_paths`` (list of str, maybe empty), or ``views_path`` and
      ``views_index`` for row i of a stacked (n, V, H, W, 3) ``.npy``; ``camera_path`` or None;
    - per-point attributes: ``attributes_path`` (``.npz`` with ``rgb``, ``normal``, ``part``) or
      None, or ``attribute_rows`` (name -> stacked ``.npy``).

    Args:
        data_root: folder of the data set.
        data_prefix: sub-folders, by the names that the subclass documents.
        split: which part to read.
        sample_fraction: share of the samples to keep, in (0, 1]; a random subset by
            ``sample_seed``, in the order of the list. ``indices`` of MMEngine is applied after it.
        sample_seed: of that subset.
        label_fraction: share of the samples of every class to keep, in (0, 1]: a class-balanced
            list that ``label_seed`` fixes (see
            :func:`~mm3dpretrain.datasets.subsets.label_fraction_subset`). For fine-tuning with few
            labels; unlike ``sample_fraction`` it needs labels.
        label_seed: of that list.
        leave_out: names of classes whose samples are not read, so that zero-shot classification
            can be judged on classes that were never seen. Labels stay as they are.
        expected_count: number of samples that the complete split has; another number is logged as
            a warning. None checks nothing.
        on_error: 'raise' stops at a broken sample with one error that names its file; 'skip' logs
            it as a warning and takes another sample, so that a long training goes on. At most
            ``max_refetch`` samples in a row are replaced. Not allowed in ``test_mode``, where a
            replaced sample would falsify the result.
        max_refetch: how many broken samples in a row are replaced before giving up.
        pipeline, metainfo, indices, serialize_data, test_mode, lazy_init: as in
            :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: for a wrong ``on_error``, ``sample_fraction`` or ``label_fraction``, or an
            unknown class to leave out.
        FileNotFoundError: if the data set is not at ``data_root``; the message says where to get
            it and how it must lie.
    """

    METAINFO: dict = dict(gravity_axis='none', normalization='none')

    def __init__(
        self,
        data_root: str = '',
        data_prefix: Mapping[str, str] | None = None,
        split: str = 'train',
        sample_fraction: float = 1.0,
        sample_seed: int = 0,
        label_fraction: float = 1.0,
        label_seed: int = 0,
        leave_out: Sequence[str] = (),
        expected_count: int | None = None,
        on_error: str = 'raise',
        max_refetch: int = 100,
        pipeline: Sequence[dict | Callable] = (),
        metainfo: Mapping | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        test_mode: bool = False,
        lazy_init: bool = False,
    ) -> None:
        if on_error not in ON_ERROR:
            raise ValueError(f'on_error must be one of {ON_ERROR}, got {on_error!r}')
        if on_error == 'skip' and test_mode:
            raise ValueError("on_error='skip' would replace test samples: use 'raise' in test_mode")
        if not 0 < sample_fraction <= 1:
            raise ValueError(f'sample_fraction must be in (0, 1], got {sample_fraction}')
        if not 0 < label_fraction <= 1:
            raise ValueError(f'label_fraction must be in (0, 1], got {label_fraction}')
        self.label_fraction = label_fraction
        self.label_seed = label_seed
        self.leave_out = tuple(leave_out)
        self.sample_fraction = sample_fraction
        self.sample_seed = sample_seed
        self.expected_count = expected_count
        self.on_error = on_error
        super().__init__(
            metainfo=metainfo,
            data_root=data_root,
            split=split,
            data_prefix=dict(data_prefix or {}),
            indices=indices,
            serialize_data=serialize_data,
            pipeline=pipeline,
            test_mode=test_mode,
            lazy_init=lazy_init,
            max_refetch=max_refetch,
        )

    # ------------------------------------------------------------------ set-up

    def full_init(self) -> None:
        """Read the records, choose the asked ones, prepare them and keep them serialised."""
        if self._fully_initialized:
            return
        self.data_list = self.load_data_list()
        self.data_list = self.filter_data()
        if self._indices is not None:
            self.data_list = self._get_unserialized_subset(self._indices)
        if not self.data_list:
            raise ValueError(
                f'{type(self).__name__}: no samples in split {self.split!r} of {self.data_root}'
            )
        self.data_list = self.prepare_records(self.data_list)
        if self.serialize_data:
            self.data_bytes, self.data_address = self._serialize_data()
        self._fully_initialized = True

    def prepare_records(self, records: list[dict]) -> list[dict]:
        """Last step on the chosen records; a subclass makes its cache for just these here."""
        return records

    def filter_data(self) -> list[dict]:
        """Check the number of records and keep the asked share of them."""
        count = len(self.data_list)
        if self.expected_count is not None and count != self.expected_count:
            self._warn(
                f'{type(self).__name__}: {count} samples in split {self.split!r} of '
                f'{self.data_root}, {self.expected_count} expected: the download may be '
                'incomplete, or another version'
            )
        if self.leave_out:
            self.data_list = self._without_classes(self.data_list)
            count = len(self.data_list)
        if self.label_fraction < 1 and count:
            self.data_list = self._balanced_share(self.data_list)
            count = len(self.data_list)
        if self.sample_fraction == 1 or count == 0:
            return self.data_list
        keep = max(1, round(self.sample_fraction * count))
        chosen = np.random.default_rng(self.sample_seed).choice(count, keep, replace=False)
        return [self.data_list[i] for i in np.sort(chosen)]

    def _without_classes(self, records: list[dict]) -> list[dict]:
        classes = self._metainfo.get('classes', ())
        unknown = sorted(set(self.leave_out) - set(classes))
        if unknown:
            raise ValueError(
                f'{type(self).__name__}: leave_out names {unknown}, the classes are {list(classes)}'
            )
        gone = {classes.index(name) for name in self.leave_out}
        kept = [record for record in records if record['gt_label'] not in gone]
        self._log(
            f'{type(self).__name__}: {len(kept)} of {len(records)} samples, without those of '
            f'{len(gone)} classes'
        )
        return kept

    def _balanced_share(self, records: list[dict]) -> list[dict]:
        labels = [record['gt_label'] for record in records]
        names = [record['sample_id'] for record in records]
        chosen = label_fraction_subset(labels, names, self.label_fraction, self.label_seed)
        self._log(
            f'{type(self).__name__}: {len(chosen)} of {len(records)} samples, '
            f'{100 * self.label_fraction:g} % of every class (label_seed {self.label_seed})'
        )
        return [records[i] for i in chosen]

    def record(self, sample_id: str, **kwargs) -> dict:
        """A record with the defaults of this data set, overwritten by ``kwargs``."""
        base = dict(
            sample_id=sample_id,
            synset='',
            model_id=sample_id,
            gt_label=-1,
            img_paths=[],
            camera_path=None,
            attributes_path=None,
            caption=[],
            gravity_axis=self._metainfo.get('gravity_axis', 'none'),
            normalization=self._metainfo.get('normalization', 'none'),
        )
        base.update(kwargs)
        return base

    def set_classes(self, classes: Sequence[str]) -> None:
        """Store class names found in the data, unless the user has given some."""
        self._metainfo.setdefault('classes', tuple(classes))

    # ------------------------------------------------------------------ access

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """The record of sample ``idx``, with ``img_paths`` as full paths."""
        info = super().get_data_info(idx)
        # records keep short names: full paths would be most of the memory of a large set
        names = info.pop('img_names', None)
        if names is not None:
            info['img_paths'] = [os.path.join(info['img_dir'], name) for name in names]
        return info

    @property
    def gt_labels(self) -> np.ndarray:
        """(n,) int64, class of every sample, -1 where unknown."""
        return np.array([self.get_data_info(i)['gt_label'] for i in range(len(self))], np.int64)

    def get_cat_ids(self, idx: int) -> list[int]:
        """[class] of sample ``idx``, as ``ClassBalancedDataset`` of MMEngine asks for it."""
        return [self.get_data_info(idx)['gt_label']]

    def prepare_data(self, idx: int) -> Any:
        """Record ``idx`` after the pipeline.

        Raises:
            SampleError: naming sample and file, if the data of the sample is broken.
        """
        info = self.get_data_info(idx)
        name, path = info['sample_id'], info.get('points_path', 'in memory')
        try:
            return self.pipeline(info)
        except (SampleError, ValueError, OSError) as error:
            raise SampleError(
                f'{type(self).__name__}: sample {name!r} (number {idx}, points {path}): {error}'
            ) from error

    def __getitem__(self, idx: int) -> Any:
        """Sample ``idx`` after the pipeline; ``on_error`` decides what happens to a broken one.

        An index of :class:`~mm3dpretrain.datasets.samplers.SeededSampler` seeds the transforms.
        """
        if not self._fully_initialized:
            self.full_init()
        seed_sample(idx)
        if self.on_error == 'raise':
            return self.prepare_data(idx)
        for _ in range(self.max_refetch + 1):
            try:
                return self.prepare_data(idx)
            except SampleError as error:
                last = error
                self._warn(f'{error}\nAnother sample is taken in its place.')
                idx = self._rand_another()
        raise SampleError(
            f'{type(self).__name__}: {self.max_refetch + 1} broken samples in a row; the last one: '
            f'{last}'
        ) from last
