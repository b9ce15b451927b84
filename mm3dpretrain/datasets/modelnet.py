"""ModelNet40 and ModelNet10 in their three common forms."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .caching import build_once, cache_name, rows_writer
from .io import SampleError, check_cloud, missing_root_error, read_array_pickle, read_hdf5
from .mesh_io import stable_seed

# (classes, split) -> published number of shapes; another one means an incomplete download.
COUNTS = {(40, 'train'): 9843, (40, 'test'): 2468, (10, 'train'): 3991, (10, 'test'): 908}
# PointNet's files lack three training shapes
HDF5_COUNTS = {(40, 'train'): 9840, (40, 'test'): 2468}

_OFF_LAYOUT = '  <data_root>/<class>/{train,test}/<class>_0001.off'
_OFF_SOURCE = 'ModelNet40.zip or ModelNet10.zip of the Princeton ModelNet project'
_RESAMPLED_LAYOUT = """\
  <data_root>/modelnet40_shape_names.txt
  <data_root>/modelnet40_{train,test}.txt
  <data_root>/modelnet40_{train,test}_8192pts_fps.dat     and/or
  <data_root>/<class>/<class>_0001.txt                     x,y,z,nx,ny,nz"""
_RESAMPLED_SOURCE = (
    'modelnet40_normal_resampled.zip of PointNet++; the .dat files are linked in the Point-BERT '
    'repository (DATASET.md)'
)
_HDF5_LAYOUT = """\
  <data_root>/ply_data_{train,test}*.h5                    data (n, 2048, 3), label (n, 1)
  <data_root>/shape_names.txt"""
_HDF5_SOURCE = 'modelnet40_ply_hdf5_2048.zip of PointNet'


class _ModelNet(BaseShapeDataset):
    """What the three forms share: the splits, and the check of the published counts."""

    COUNTS = COUNTS

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        num_classes: int = 40,
        expected_count: int | str | None = 'auto',
        **kwargs,
    ) -> None:
        if split not in ('train', 'test'):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        self.num_classes = num_classes
        if expected_count == 'auto':
            expected_count = self.COUNTS.get((num_classes, split))
        super().__init__(data_root=data_root, split=split, expected_count=expected_count, **kwargs)

    def _check_classes(self, classes: list[str]) -> None:
        if self.expected_count is not None and len(classes) != self.num_classes:
            raise ValueError(
                f'{type(self).__name__}: {len(classes)} classes in {self.data_root}, but '
                f'num_classes={self.num_classes}; for a set of your own pass expected_count=None'
            )
        self.set_classes(classes)


@DATASETS.register_module()
class ModelNetOFF(_ModelNet):
    """ModelNet as folders of OFF meshes; points are drawn from the surface, once.

    Frame: as stored, +z up, in the unit of each file (no common scale): put ``NormalizePoints``
    into the pipeline. Classes are the folder names in alphabetical order. The synthetic set of
    this package can be written in this layout too.

    Args:
        data_root: folder of the classes.
        split: 'train' or 'test'.
        num_classes: 40 or 10; with ``expected_count=None`` any.
        num_points: drawn from each mesh, with a seed that depends on the file name only.
        cache_dir: where drawn points are kept; one small file a mesh, made at the first access,
            so an interrupted run goes on where it stopped. None draws at every access.
        expected_count: 'auto' for the published number (a warning if it differs), None for none.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        FileNotFoundError: if there is no such folder, or no OFF file in it.
    """

    METAINFO = dict(gravity_axis='z', normalization='none')

    def __init__(
        self,
        data_root: str = 'data/ModelNet40',
        split: str = 'train',
        num_points: int = 8192,
        cache_dir: str | None = 'data/cache/modelnet_off',
        **kwargs,
    ) -> None:
        if num_points < 1:
            raise ValueError(f'num_points must be positive, got {num_points}')
        self.num_points = num_points
        self.cache_dir = cache_dir
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each OFF file of the split."""
        root = Path(self.data_root)
        classes = []
        if root.is_dir():
            classes = sorted(p.name for p in root.iterdir() if (p / self.split).is_dir())
        if not classes:
            raise missing_root_error(
                'ModelNetOFF', root / '<class>' / self.split, _OFF_LAYOUT, _OFF_SOURCE
            )
        self._check_classes(classes)
        records = []
        for label, name in enumerate(classes):
            for file in sorted(os.listdir(root / name / self.split)):
                if not file.lower().endswith('.off'):
                    continue
                stem = file[:-4]
                record = self.record(
                    stem,
                    synset=name,
                    gt_label=label,
                    points_path=str(root / name / self.split / file),
                    mesh_points=self.num_points,
                    seed=stable_seed(stem),
                    cache_dir=self.cache_dir,
                )
                records.append(record)
        return records


@DATASETS.register_module()
class ModelNetResampled(_ModelNet):
    """ModelNet of PointNet++: points with normals, as text files or as Point-BERT's pickles.

    Frame: +y up (PointNet++ rotates about y), about in the unit sphere. The ``.dat`` pickles are
    preferred where they exist; they are read with an unpickler that knows numpy arrays only, and
    are rewritten once as a plain array, which worker processes share. Text files (10000 points)
    are kept as small binary files at their first access. ``attributes=('normal',)`` in
    ``LoadPoints`` gives the normals.

    Args:
        data_root: folder ``modelnet40_normal_resampled``.
        split: 'train' or 'test'.
        num_classes: 40 or 10, chooses the list files.
        source: 'dat', 'text' or 'auto' (the pickle if it is there).
        cache_dir: where the rewritten files go.
        expected_count: 'auto' for the published number (a warning if it differs), None for none.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        FileNotFoundError: if lists, pickles or text files are missing.
        SampleError: if the pickle is broken or holds anything but arrays and labels.
    """

    METAINFO = dict(gravity_axis='y', normalization='unit_sphere')

    def __init__(
        self,
        data_root: str = 'data/ModelNet/modelnet40_normal_resampled',
        split: str = 'train',
        source: str = 'auto',
        cache_dir: str = 'data/cache/modelnet_resampled',
        **kwargs,
    ) -> None:
        if source not in ('auto', 'dat', 'text'):
            raise ValueError(f"source must be 'auto', 'dat' or 'text', got {source!r}")
        self.source = source
        self.cache_dir = cache_dir
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each name of the split's list."""
        root = Path(self.data_root)
        names_file = root / f'modelnet{self.num_classes}_shape_names.txt'
        list_file = root / f'modelnet{self.num_classes}_{self.split}.txt'
        for path in (names_file, list_file):
            if not path.is_file():
                raise missing_root_error(
                    'ModelNetResampled', path, _RESAMPLED_LAYOUT, _RESAMPLED_SOURCE
                )
        classes = names_file.read_text().split()
        self._check_classes(classes)
        names = list_file.read_text().split()
        label_of = {name: label for label, name in enumerate(classes)}
        records = []
        for name in names:
            synset = name.rpartition('_')[0]
            if synset not in label_of:
                raise ValueError(f'{list_file}: {name!r} is of no class in {names_file.name}')
            record = self.record(
                name,
                synset=synset,
                gt_label=label_of[synset],
                points_path=str(root / synset / f'{name}.txt'),
                mesh_points=0,  # clouds are returned whole
                cache_dir=self.cache_dir,
                extra_columns=dict(normal=(3, 6)),
            )
            records.append(record)
        dat = root / f'modelnet{self.num_classes}_{self.split}_8192pts_fps.dat'
        if self.source == 'dat' or (self.source == 'auto' and dat.is_file()):
            return self._use_pickle(dat, records)
        if not (root / records[0]['synset']).is_dir():
            raise missing_root_error(
                'ModelNetResampled', root / records[0]['synset'], _RESAMPLED_LAYOUT,
                _RESAMPLED_SOURCE,
            )  # fmt: skip
        return records

    def _use_pickle(self, dat: Path, records: list[dict]) -> list[dict]:
        """The records with row i of the rewritten pickle instead of text files."""
        if not dat.is_file():
            raise missing_root_error('ModelNetResampled', dat, _RESAMPLED_LAYOUT, _RESAMPLED_SOURCE)
        status = dat.stat()
        cache = Path(self.cache_dir) / cache_name(
            dat.stem, path=str(dat.resolve()), size=status.st_size, time=status.st_mtime_ns
        )
        build_once(cache, lambda folder: _rewrite_pickle(dat, folder))
        labels = np.load(cache / 'labels.npy', allow_pickle=False)
        expected = np.array([record['gt_label'] for record in records])
        if len(labels) != len(expected) or (labels != expected).any():
            raise SampleError(
                f'{dat}: its {len(labels)} labels do not agree with the {len(expected)} of the '
                'list file beside it: they are of different versions'
            )
        points_path = str(cache / 'points.npy')
        for index, record in enumerate(records):
            del record['mesh_points'], record['cache_dir']
            record.update(points_path=points_path, points_index=index)
        return records


def _rewrite_pickle(dat: Path, folder: Path) -> None:
    """Write ``points.npy`` (n, P, C) float32 and ``labels.npy`` (n,) int64 of a ``.dat`` pickle."""
    print_log(f'{dat}: rewriting it as a plain array, once', 'current')
    content = read_array_pickle(dat)
    if not (isinstance(content, (list, tuple)) and len(content) == 2):
        raise SampleError(f'{dat}: expected [list of arrays, list of labels]')
    clouds, labels = content
    if len(clouds) != len(labels) or len(clouds) == 0:
        raise SampleError(f'{dat}: {len(clouds)} clouds and {len(labels)} labels')
    first = check_cloud(clouds[0], f'{dat}[0]')
    try:
        labels = np.array([int(np.asarray(label).reshape(())) for label in labels], np.int64)
    except (TypeError, ValueError):
        labels = np.array([int(np.asarray(label).reshape(-1)[0]) for label in labels], np.int64)
    np.save(folder / 'labels.npy', labels)
    with rows_writer(folder / 'points.npy', (len(clouds), *first.shape), np.float32) as rows:
        for index in range(len(clouds)):
            cloud = check_cloud(clouds[index], f'{dat}[{index}]')
            if cloud.shape != first.shape:
                raise SampleError(f'{dat}[{index}]: shape {cloud.shape}, others {first.shape}')
            rows[index] = cloud
            clouds[index] = None  # the pickle is most of the memory


@DATASETS.register_module()
class ModelNetHDF5(_ModelNet):
    """ModelNet40 of PointNet: 2048 points a shape in HDF5 files.

    Frame: +y up (PointNet rotates about y), in the unit sphere. The files have 9840 training
    shapes, three fewer than ModelNet40. The points are kept in memory,
    shared by the worker processes (ModelNet40: 240 MB).

    Args:
        data_root: folder ``modelnet40_ply_hdf5_2048``.
        split: 'train' or 'test'.
        expected_count: 'auto' for the published number (a warning if it differs), None for none.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        FileNotFoundError: if the files are missing.
        SampleError: if a file is truncated, lacks a key, or has NaN or infinite points.
    """

    METAINFO = dict(gravity_axis='y', normalization='unit_sphere')
    COUNTS = HDF5_COUNTS

    def __init__(
        self, data_root: str = 'data/modelnet40_ply_hdf5_2048', split: str = 'train', **kwargs
    ) -> None:
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each shape, in the order of the files."""
        root = Path(self.data_root)
        files = sorted(root.glob(f'ply_data_{self.split}*.h5'))
        if not files:
            raise missing_root_error(
                'ModelNetHDF5', root / f'ply_data_{self.split}*.h5', _HDF5_LAYOUT, _HDF5_SOURCE
            )
        names_file = root / 'shape_names.txt'
        if not names_file.is_file():
            raise missing_root_error('ModelNetHDF5', names_file, _HDF5_LAYOUT, _HDF5_SOURCE)
        classes = names_file.read_text().split()
        self._check_classes(classes)
        records = []
        for path in files:
            points, labels = read_labelled_hdf5(path, len(classes))
            for row, (cloud, label) in enumerate(zip(points, labels.tolist())):
                name = f'{path.stem}_{row:04d}'
                record = self.record(name, synset=classes[label], gt_label=label, points=cloud)
                records.append(record)
        return records


def read_labelled_hdf5(path: str | os.PathLike, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read ``data`` (n, P, 3) float32 and ``label`` (n,) int64 of an HDF5 file and check them.

    Raises:
        SampleError: if the file is broken or its content is not of this form.
    """
    points, labels = read_hdf5(path, ['data', 'label'])
    labels = np.asarray(labels).reshape(-1)
    if points.ndim != 3 or points.shape[2] < 3 or len(points) != len(labels):
        raise SampleError(
            f'{path}: expected data (n, P, 3) and n labels, got {points.shape} and {len(labels)}'
        )
    if points.shape[1] == 0:
        raise SampleError(f'{path}: empty clouds, data is {points.shape}')
    if not np.issubdtype(points.dtype, np.number) or not np.issubdtype(labels.dtype, np.number):
        raise SampleError(f'{path}: data or label is not numeric')
    points = points.astype(np.float32)
    finite = np.isfinite(points).all(axis=(1, 2))
    if not finite.all():
        rows = np.flatnonzero(~finite)
        raise SampleError(
            f'{path}: NaN or infinite coordinates in {len(rows)} of {len(points)} clouds, '
            f'the first is row {rows[0]}'
        )
    labels = labels.astype(np.int64)
    if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        raise SampleError(
            f'{path}: labels from {labels.min()} to {labels.max()}, but there are {num_classes} '
            'classes'
        )
    return points, labels
