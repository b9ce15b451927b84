"""Small real sets that come as a few arrays: CC0 objects, Shapes69, labelled PSB parts."""

from __future__ import annotations

import hashlib
import json
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .caching import build_once, cache_name, rows_writer
from .io import READ_ERRORS, SampleError, check_cloud, missing_root_error
from .mesh_io import stable_seed
from .view_rendering import RENDER_VERSION, PackedMeshes, Progress, complete_views, render_views

SOURCE = 'the folder that MM3D_DATA names (default ../shared/data beside the project)'


class _PackedDataset(BaseShapeDataset):
    """Shapes of a few packed arrays.

    The arrays are unpacked once into plain ``.npy`` files, and views are rendered once from the
    meshes, into a folder whose name depends on the source file, the chosen samples and all
    parameters. Worker processes then map these files and share their pages.

    Args:
        data_root: folder of the set.
        split: see the subclass.
        views: None for no pictures, or a dict that overwrites entries of ``DEFAULT_VIEWS`` in
            ``view_rendering.py``; ``dict()`` takes them as they are. A set of n shapes needs
            n * num_views * image_size^2 * 3 bytes of disk.
        cache_dir: where these files go.
        num_workers: processes that render.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        FileNotFoundError: if the set is not there.
        ValueError: for an unknown split or view parameter.
        SampleError: if a file of the set is broken.
    """

    FILES: tuple[str, ...] = ()
    SPLITS: tuple[str, ...] = ()
    HAS_MESHES = True

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        views: Mapping | None = None,
        cache_dir: str = 'data/cache',
        num_workers: int = 2,
        **kwargs,
    ) -> None:
        if split not in self.SPLITS:
            raise ValueError(f'split must be one of {self.SPLITS}, got {split!r}')
        if views is not None and not self.HAS_MESHES:
            raise ValueError(f'{type(self).__name__} has no meshes to render: views must be None')
        self.views = complete_views(views)
        self.cache_dir = cache_dir
        self.num_workers = num_workers
        super().__init__(data_root=data_root, split=split, **kwargs)

    # ------------------------------------------------------------------ the source

    def _file(self, name: str) -> Path:
        path = Path(self.data_root) / name
        if not path.is_file():
            layout = '\n'.join(f'  <data_root>/{file}' for file in self.FILES)
            raise missing_root_error(type(self).__name__, path, layout, SOURCE)
        return path

    def _meta(self) -> dict:
        path = self._file('meta.json')
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise SampleError(f'{path}: not a JSON file ({error})') from error

    def _arrays(self, name: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
        path = self._file(name)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                missing = set(keys) - set(arrays.files)
                if missing:
                    raise SampleError(f'{path}: lacks the arrays {sorted(missing)}')
                return {key: arrays[key] for key in keys}
        except READ_ERRORS as error:
            raise SampleError(f'{path}: cannot read the arrays ({error})') from error

    # ------------------------------------------------------------------ the cache

    def prepare_records(self, records: list[dict]) -> list[dict]:
        """Unpack points, and render views, of just these records."""
        rows = [record['row'] for record in records]
        points = self._cached(
            'points', rows, self._point_parameters(), lambda f: self._write_points(f, rows)
        )
        views = None
        if self.views is not None:
            views = self._cached(
                'views',
                rows,
                {**self.views, 'version': RENDER_VERSION},
                lambda folder: self._write_views(folder, rows),
            )
        attributes = {
            name: str(points / f'{name}.npy')
            for name in ('rgb', 'normal', 'part')
            if (points / f'{name}.npy').is_file()
        }
        for index, record in enumerate(records):
            record.update(
                points_path=str(points / 'points.npy'),
                points_index=index,
                attribute_rows=attributes,
            )
            if views is not None:
                record.update(
                    views_path=str(views / 'views.npy'),
                    views_index=index,
                    camera_path=str(views / 'cameras.npz'),
                )
        return records

    def _cached(self, what: str, rows: list[int], parameters: Mapping, build: Callable) -> Path:
        sources = {}
        for name in self.FILES:
            status = self._file(name).stat()
            sources[name] = [status.st_size, status.st_mtime_ns]
        name = cache_name(
            f'{type(self).__name__.lower()}-{what}',
            sources=sources,
            rows=hashlib.sha256(np.asarray(rows, np.int64).tobytes()).hexdigest(),
            parameters=dict(parameters),
        )
        folder = Path(self.cache_dir) / name
        start = time.monotonic()
        if build_once(folder, build):
            print_log(
                f'{type(self).__name__}: {what} of {len(rows)} shapes made in '
                f'{time.monotonic() - start:.1f} s, kept in {folder}',
                logger='current',
            )
        return folder

    def _point_parameters(self) -> dict:
        return {}

    @abstractmethod
    def _write_points(self, folder: Path, rows: list[int]) -> None:
        """Write ``points.npy`` (n, P, 3) and the attributes of the numbered shapes."""

    def _write_views(self, folder: Path, rows: list[int]) -> None:
        """Render ``views.npy`` (n, V, H, W, 3) uint8 and write the common ``cameras.npz``."""
        render_views(
            folder,
            self._file('meshes.npz'),
            rows,
            self.views,
            self.num_workers,
            type(self).__name__,
        )


@DATASETS.register_module()
class Cc0Objects(_PackedDataset):
    """1936 coloured, captioned low-poly objects, free to use (CC0).

    Frame: +y up, box-centred, unit sphere. Points are drawn from the meshes with the colour and
    normal of their face, with a seed that depends on the object only. No labels; a caption each,
    and ``clip_name``, the matching name of a ``TextBank``, or None where there is none (noisy).
    Colour variants of one mesh share pack and caption, so train and val are split by a hash of
    (pack, caption).

    Args:
        num_points: drawn from each mesh.
        val_fraction: share of the (pack, caption) groups that go to 'val'.
        split: 'train', 'val' or 'all'.
        data_root, views, cache_dir, num_workers, **kwargs: see the base class.
    """

    METAINFO = dict(gravity_axis='y', normalization='unit_sphere')
    FILES = ('meta.json', 'meshes.npz')
    SPLITS = ('train', 'val', 'all')

    def __init__(
        self,
        data_root: str = '../shared/data/cc0_objects',
        split: str = 'train',
        num_points: int = 8192,
        val_fraction: float = 0.1,
        **kwargs,
    ) -> None:
        if num_points < 1:
            raise ValueError(f'num_points must be positive, got {num_points}')
        if not 0 < val_fraction < 1:
            raise ValueError(f'val_fraction must be in (0, 1), got {val_fraction}')
        self.num_points = num_points
        self.val_fraction = val_fraction
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each object of the split."""
        meta = self._meta()
        # a name in the bank of text embeddings beside the set: heuristic, where there is one
        clip_names = meta.get('clip_name') or [None] * len(meta['name'])
        records = []
        for row, (pack, name, caption, clip_name) in enumerate(
            zip(meta['pack'], meta['name'], meta['caption'], clip_names)
        ):
            part = stable_seed(f'{pack}/{caption}') < self.val_fraction * 2**32
            if self.split != 'all' and part != (self.split == 'val'):
                continue
            record = self.record(
                f'{pack}/{name}', synset=pack, model_id=name, caption=[caption], row=row
            )
            record['clip_name'] = clip_name
            records.append(record)
        return records

    def _point_parameters(self) -> dict:
        return {'num_points': self.num_points}

    def _write_points(self, folder: Path, rows: list[int]) -> None:
        from .mesh_sampling import sample_mesh

        meshes = PackedMeshes(self._file('meshes.npz'))
        shape = (len(rows), self.num_points, 3)
        progress = Progress(f'{type(self).__name__}: sampling points', len(rows))
        with (
            rows_writer(folder / 'points.npy', shape, np.float32) as out,
            rows_writer(folder / 'rgb.npy', shape, np.uint8) as rgb,
            rows_writer(folder / 'normal.npy', shape, np.int8) as normal,
        ):
            for index, row in enumerate(rows):
                mesh, source = meshes[row], f'{meshes.path}[{row}]'
                try:
                    points, normals, face_index = sample_mesh(
                        mesh.vertices, mesh.faces, self.num_points, np.random.default_rng([row, 0])
                    )
                except ValueError as error:
                    raise SampleError(f'{source}: cannot sample the mesh ({error})') from error
                out[index] = check_cloud(points, source)
                normal[index] = np.round(normals * 127)
                rgb[index] = mesh.face_colors[face_index]
                progress(index + 1)


class _SplitByMeta(_PackedDataset):
    """Sets whose ``meta.json`` names label and split of every shape."""

    def _labelled_records(self, meta: dict) -> list[dict]:
        return [
            self.record(
                f'{meta["classes"][label]}/{name}',
                synset=meta['classes'][label],
                model_id=name,
                gt_label=label,
                row=row,
            )
            for row, (name, label, split) in enumerate(
                zip(meta['names'], meta['label'], meta['split'])
            )
            if self.split in ('all', split)
        ]

    def _write_rows(
        self, folder: Path, name: str, arrays: Mapping[str, np.ndarray], rows: list[int]
    ) -> None:
        """Write ``points.npy`` in float32 and the other arrays as they are."""
        points = arrays['points'][rows].astype(np.float32) * np.float32(arrays['scale'])
        for row, cloud in zip(rows, points):
            check_cloud(cloud, f'{self._file(name)}[{row}]')
        np.save(folder / 'points.npy', points)
        for key in set(arrays) - {'points', 'scale'}:
            np.save(folder / f'{self._ATTRIBUTE_NAMES[key]}.npy', arrays[key][rows])

    _ATTRIBUTE_NAMES = {'normals': 'normal', 'part': 'part'}


@DATASETS.register_module()
class Shapes69(_SplitByMeta):
    """1977 CAD and scanned shapes of 69 classes, 2048 points each.

    Frame: centred, unit sphere; the orientation is **not** consistent. Models whose name starts
    with 'm' are mostly upright (+y), the others are turned any way: use
    ``RandomRotate(axis='so3')``, or ``upright_only``. No colours; the winding of faces is not
    consistent, so views are shaded on both sides.

    Args:
        split: 'train' (1603), 'val' (374) or 'all'; both are stratified and given by the set.
        upright_only: keep the models that are mostly upright, with gravity axis y.
        data_root, views, cache_dir, num_workers, **kwargs: see the base class.
    """

    METAINFO = dict(gravity_axis='none', normalization='unit_sphere')
    FILES = ('meta.json', 'points.npz', 'meshes.npz')
    SPLITS = ('train', 'val', 'all')

    def __init__(
        self,
        data_root: str = '../shared/data/shapes69',
        split: str = 'train',
        upright_only: bool = False,
        **kwargs,
    ) -> None:
        self.upright_only = upright_only
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each shape of the split."""
        meta = self._meta()
        self.set_classes(meta['classes'])
        self._metainfo.setdefault('class_texts', tuple(meta['text']))
        records = self._labelled_records(meta)
        if self.upright_only:
            records = [record for record in records if record['model_id'].startswith('m')]
            for record in records:
                record['gravity_axis'] = 'y'
        return records

    def _write_points(self, folder: Path, rows: list[int]) -> None:
        arrays = self._arrays('points.npz', ['points', 'scale'])
        self._write_rows(folder, 'points.npz', arrays, rows)


@DATASETS.register_module()
class Lpsb19Parts(_SplitByMeta):
    """323 shapes of 19 classes with normals and the part of each of their 2048 points.

    Frame: centred, unit sphere. ``gt_part`` counts through the parts of all classes (0 to 93);
    the meta information has ``part_names`` (94) and ``part_ids`` (class -> its ids), so that
    IoU is evaluated over the parts of a shape's own class, as for ShapeNetPart.

    Args:
        split: 'train' (15 a class), 'test' (2 a class) or 'all'.
        data_root, cache_dir, **kwargs: see the base class.
    """

    METAINFO = dict(gravity_axis='none', normalization='unit_sphere')
    FILES = ('meta.json', 'lpsb19_parts.npz')
    SPLITS = ('train', 'test', 'all')
    HAS_MESHES = False

    def __init__(
        self, data_root: str = '../shared/data/lpsb19_parts', split: str = 'train', **kwargs
    ) -> None:
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each shape of the split."""
        meta = self._meta()
        self.set_classes(meta['classes'])
        self._metainfo.setdefault('class_texts', tuple(meta['text']))
        names: list[str] = []
        part_ids = {}
        for name in meta['classes']:
            part_ids[name] = list(range(len(names), len(names) + len(meta['parts'][name])))
            names += [f'{name}/{part}' for part in meta['parts'][name]]
        self._metainfo.setdefault('part_names', tuple(names))
        self._metainfo.setdefault('part_ids', part_ids)
        return self._labelled_records(meta)

    def _write_points(self, folder: Path, rows: list[int]) -> None:
        name = 'lpsb19_parts.npz'
        arrays = self._arrays(name, ['points', 'scale', 'normals', 'part', 'label'])
        label = arrays.pop('label')
        part_ids = list(self._metainfo['part_ids'].values())
        first = np.array([ids[0] for ids in part_ids])
        count = np.array([len(ids) for ids in part_ids])
        if (arrays['part'].max(axis=1) >= count[label]).any():
            raise SampleError(f'{self._file(name)}: a part index beyond the parts of its class')
        arrays['part'] = arrays['part'] + first[label][:, None]
        self._write_rows(folder, name, arrays, rows)
