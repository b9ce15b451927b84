"""A folder of a user's own meshes or clouds."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .io import list_images, missing_root_error
from .mesh_io import MESH_SUFFIXES, POINT_SUFFIXES, stable_seed

SUFFIXES = (*MESH_SUFFIXES, *POINT_SUFFIXES)
LAYOUT = f"""\
  <data_root>/<class>/<name>{{{','.join(SUFFIXES)}}}   or, without classes,
  <data_root>/<name>..."""


@DATASETS.register_module()
class UserFolder(BaseShapeDataset):
    """Every mesh or cloud file below a folder; sub-folders are classes.

    With sub-folders, the class of a file is the name of the first one, in alphabetical order; files
    directly in ``data_root`` have no class, and both together are an error. Units and frame are
    those of the files: put ``NormalizePoints`` into the pipeline. OFF, text and numpy files need
    nothing more; OBJ, PLY, STL and GLB need ``trimesh``. ``captions.json`` in ``data_root``, where
    it exists, maps ``<class>/<name>`` (no suffix) to a list of texts.

    Args:
        data_root: the folder.
        split: 'all', or 'train' and 'val': every file is put into one of them by a hash of its
            path, so that the split stays the same when files are added.
        val_fraction: share of the files that go to 'val'.
        suffixes: which files are read.
        num_points: drawn from each mesh, with a seed that depends on the path in the folder only;
            clouds are read whole.
        cache_dir: where drawn points are kept; None draws at every access.
        image_dir: folder with the views of ``<class>/<name>`` in ``<image_dir>/<class>/<name>/``,
            and maybe ``cameras.npz`` beside them.
        images: 'none', 'optional' or 'required' (files without views are left out).
        extra_columns: what follows xyz in array and text files, such as ``dict(rgb=(3, 6))``, for
            the ``attributes`` of ``LoadPoints``; colours as uint8 or in [0, 1].
        gravity_axis: 'x', 'y', 'z' or 'none': which axis of the files points upwards.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        FileNotFoundError: if the folder does not exist or has no such files.
        ValueError: for files both with and without a class, or wrong options.
    """

    METAINFO = dict(gravity_axis='none', normalization='none')

    def __init__(
        self,
        data_root: str,
        split: str = 'all',
        val_fraction: float = 0.1,
        suffixes: Sequence[str] = SUFFIXES,
        num_points: int = 8192,
        cache_dir: str | None = 'data/cache/user_folder',
        image_dir: str | None = None,
        images: str = 'none',
        extra_columns: dict[str, tuple[int, int]] | None = None,
        gravity_axis: str = 'none',
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        if split not in ('all', 'train', 'val'):
            raise ValueError(f"split must be 'all', 'train' or 'val', got {split!r}")
        if not 0 < val_fraction < 1:
            raise ValueError(f'val_fraction must be in (0, 1), got {val_fraction}')
        unknown = {s.lower() for s in suffixes} - set(SUFFIXES)
        if unknown:
            raise ValueError(f'cannot read {sorted(unknown)}; suffixes must be of {SUFFIXES}')
        if images not in ('none', 'optional', 'required'):
            raise ValueError(f"images must be 'none', 'optional' or 'required', got {images!r}")
        if images != 'none' and image_dir is None:
            raise ValueError(f'images={images!r} needs image_dir')
        if gravity_axis not in ('x', 'y', 'z', 'none'):
            raise ValueError(f"gravity_axis must be 'x', 'y', 'z' or 'none', got {gravity_axis!r}")
        if num_points < 1:
            raise ValueError(f'num_points must be positive, got {num_points}')
        self.val_fraction = val_fraction
        self.suffixes = tuple(s.lower() for s in suffixes)
        self.num_points = num_points
        self.cache_dir = cache_dir
        self.image_dir = image_dir
        self.images = images
        self.extra_columns = extra_columns or {}
        metainfo = {'gravity_axis': gravity_axis, **(metainfo or {})}
        super().__init__(data_root=data_root, split=split, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each file of the split, sorted by path."""
        root = Path(self.data_root)
        files = self._files(root)
        folders = {file.parts[0] if len(file.parts) > 1 else '' for file in files}
        if '' in folders and len(folders) > 1:
            loose = next(file for file in files if len(file.parts) == 1)
            raise ValueError(
                f'UserFolder: {root} has files in class folders {sorted(folders - {""})[:5]} and '
                f'files without a class such as {loose}: move them'
            )
        classes = sorted(folders - {''})
        if classes:
            self.set_classes(classes)
        label_of = {name: label for label, name in enumerate(classes)}
        captions_file = root / 'captions.json'
        captions = json.loads(captions_file.read_text()) if captions_file.is_file() else {}
        records = []
        for file in files:
            sample_id = file.with_suffix('').as_posix()
            synset = file.parts[0] if classes else ''
            if self.split != 'all' and self._part(sample_id) != self.split:
                continue
            record = self.record(
                sample_id,
                synset=synset,
                model_id=file.stem,
                gt_label=label_of.get(synset, -1),
                points_path=str(root / file),
                mesh_points=self.num_points,
                seed=stable_seed(sample_id),
                cache_dir=self.cache_dir,
                caption=captions.get(sample_id, []),
                extra_columns=self.extra_columns,
            )
            if self.images != 'none':
                self._add_images(record)
            records.append(record)
        if self.images == 'required':
            kept = [record for record in records if record.get('img_names')]
            if len(kept) < len(records):
                self._warn(
                    f'UserFolder: {len(records) - len(kept)} of {len(records)} files have no views '
                    f'in {self.image_dir} and are left out'
                )
            records = kept
        return records

    def _files(self, root: Path) -> list[Path]:
        """Paths relative to ``root``, without hidden ones and without the folder of the views."""
        if not root.is_dir():
            raise missing_root_error('UserFolder', root, LAYOUT, 'your own files')
        views = os.path.abspath(self.image_dir) if self.image_dir else None
        found = []
        for folder, folders, names in os.walk(root, followlinks=True):
            folders[:] = sorted(
                f
                for f in folders
                if not f.startswith('.') and os.path.abspath(os.path.join(folder, f)) != views
            )
            relative = Path(folder).relative_to(root)
            found += [
                relative / name
                for name in names
                if not name.startswith('.') and Path(name).suffix.lower() in self.suffixes
            ]
        if not found:
            raise FileNotFoundError(f'UserFolder: no {self.suffixes} files below {root}')
        return sorted(found)

    def _part(self, sample_id: str) -> str:
        return 'val' if stable_seed(sample_id) < self.val_fraction * 2**32 else 'train'

    def _add_images(self, record: dict) -> None:
        folder = Path(self.image_dir) / record['sample_id']
        names = list_images(folder)
        if names:
            cameras = folder / 'cameras.npz'
            record.update(
                img_dir=str(folder),
                img_names=names,
                camera_path=str(cameras) if cameras.is_file() else None,
            )
