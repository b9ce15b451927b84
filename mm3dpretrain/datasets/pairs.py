"""What all sets of scans with pictures share; no labels are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import force_full_init

from .base import PretrainDataset, build_transforms
from .io import IMAGE_SUFFIXES, SampleError, read_array_pickle
from .samplers import SeededIndex, mix_seed, seed_sample


class BasePairs(PretrainDataset):
    """LiDAR scans, each with one or several pictures and the calibration between them.

    :class:`~mm3dpretrain.datasets.RGBDFrames` shares the choice of scenes and the way broken
    frames are replaced; its records are others.

    A subclass gives :meth:`load_data_list`, all frames of the split in the order of scene and time,
    and :meth:`complete_record` where a record needs files that are read only when the frame is
    used. :meth:`get_data_info` gives records with

    - ``sample_id`` and ``scene`` (str);
    - ``lidar_path`` (absolute where ``data_root`` is), ``num_pts_feats`` (floats per point in the
      file), ``intensity_scale`` (see :func:`~mm3dpretrain.datasets.lidar_io.read_lidar`);
    - ``sweeps``: list, maybe empty, of dict(lidar_path, num_pts_feats, to_key (4, 4), time):
      earlier scans, the way into the frame of this one, and their age in seconds;
    - ``images``: list of dict(img_path, camera, lidar2img (4, 4), lidar2cam (4, 4),
      cam2img (3, 3)), float64; ``(u z, v z, z, 1) = lidar2img @ (x, y, z, 1)``.

    The LiDAR frame is that of the sensor, z up, metres. The calibration files are taken as they
    are: (0, 0) is the outer corner of the first pixel.

    Args:
        data_root: folder of the data set.
        split: which part to read.
        ann_file: info file of mmdet3d 1.x (``*_infos_*.pkl``), relative to ``data_root``; without
            one the raw folders are read. Boxes in it are ignored.
        data_prefix: sub-folders, by the names that the subclass documents.
        cameras: which cameras, in this order; default the subclass's ``DEFAULT_CAMERAS``.
        scenes: names of the scenes to use, or a text file with one a line; default all.
        scene_share: share of the scenes to keep, in (0, 1]. The scenes are sorted by name and
            permuted by ``scene_seed``, so that the list is fixed and smaller shares are parts of
            larger ones. Where nothing is known of scenes, every frame is its own.
        scene_seed: of that list; None takes the first scenes by name, as SimIPU's Waymo shares do.
        interval: keep every ``interval``-th frame of those (SimIPU's Waymo set: 5).
        max_refetch: a broken frame is logged once, kept in :attr:`broken` and replaced by another
            one, at most so many times in a row; 0 raises at the first one. It is tried again when
            it is drawn again. In ``test_mode`` frames are never replaced.
        num_pts_feats: floats per point in the files, also where the info file says another number;
            default what the info file says, or what the set has.
        intensity_scale: the intensity that becomes 1, or 'tanh'; default what the set has.
        pipeline, metainfo, indices, serialize_data, test_mode, lazy_init: as in
            :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: for arguments out of range, unknown cameras or scenes, no frames, or a pipeline
            that reads more earlier scans than the records list.
        FileNotFoundError: if the data set is not at ``data_root``.
    """

    METAINFO: dict = dict(lidar_frame='z up', normalization='metric')
    #: all cameras that the set has, and those that are read by default
    CAMERAS: tuple[str, ...] = ()
    DEFAULT_CAMERAS: tuple[str, ...] = ()
    NUM_PTS_FEATS = 4
    INTENSITY_SCALE: float | str = 1.0
    #: how many earlier scans the records list at most
    num_sweeps = 0
    #: sub-folders that ``data_prefix`` changes
    DATA_PREFIX: dict = {}

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        ann_file: str = '',
        data_prefix: Mapping[str, str] | None = None,
        cameras: Sequence[str] | None = None,
        scenes: Sequence[str] | str | None = None,
        scene_share: float = 1.0,
        scene_seed: int | None = 0,
        interval: int = 1,
        max_refetch: int = 10,
        num_pts_feats: int | None = None,
        intensity_scale: float | str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        metainfo: Mapping | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        test_mode: bool = False,
        lazy_init: bool = False,
    ) -> None:
        name = type(self).__name__
        self.cameras = tuple(self.DEFAULT_CAMERAS if cameras is None else cameras)
        unknown = [camera for camera in self.cameras if camera not in self.CAMERAS]
        if unknown or not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise ValueError(
                f'{name}: cameras must be one or several of {list(self.CAMERAS)}, each once, got '
                f'{list(self.cameras)}'
            )
        if not 0 < scene_share <= 1:
            raise ValueError(f'{name}: scene_share must be in (0, 1], got {scene_share}')
        if interval < 1 or max_refetch < 0:
            raise ValueError(
                f'{name}: need interval >= 1 and max_refetch >= 0, got {interval}, {max_refetch}'
            )
        self.scenes = scenes
        self.scene_share = scene_share
        self.scene_seed = scene_seed
        self.interval = interval
        self.asked_width = num_pts_feats
        self.num_pts_feats = self.NUM_PTS_FEATS if num_pts_feats is None else num_pts_feats
        self.intensity_scale = self.INTENSITY_SCALE if intensity_scale is None else intensity_scale
        if self.num_pts_feats < 4:
            raise ValueError(f'{name}: a point has x, y, z, intensity, got {num_pts_feats=}')
        if self.intensity_scale != 'tanh' and not float(self.intensity_scale) > 0:
            raise ValueError(
                f"{name}: intensity_scale must be positive or 'tanh', got {intensity_scale!r}"
            )
        #: number of each broken frame that this process met, and what is wrong with it
        self.broken: dict[int, str] = {}
        unknown = set(data_prefix or {}) - set(self.DATA_PREFIX)
        if unknown:
            raise ValueError(
                f'{name}: data_prefix has {sorted(unknown)}, known are {sorted(self.DATA_PREFIX)}'
            )
        pipeline = build_transforms(pipeline)
        wanted = max((getattr(step, 'num_sweeps', 0) for step in pipeline), default=0)
        if wanted > self.num_sweeps:
            raise ValueError(
                f'{name}: the pipeline reads {wanted} earlier scans, the records list '
                f'{self.num_sweeps}: NuScenesPairs(sweeps={wanted}) lists them, others have none'
            )
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            split=split,
            data_prefix={**self.DATA_PREFIX, **(data_prefix or {})},
            indices=indices,
            serialize_data=serialize_data,
            pipeline=pipeline,
            test_mode=test_mode,
            lazy_init=lazy_init,
            max_refetch=max_refetch,
        )

    # ------------------------------------------------------------------ set-up

    def complete_record(self, record: dict) -> dict:
        """Add to a record what is read from the frame's own files, such as its calibration."""
        return record

    def full_init(self) -> None:
        """Read the records, choose the asked ones and keep them serialised."""
        if self._fully_initialized:
            return
        self.data_list = self.select_frames(self.load_data_list())
        if self._indices is not None:
            self.data_list = self._get_unserialized_subset(self._indices)
        if not self.data_list:
            raise ValueError(f'{type(self).__name__}: no frames in {self._source()}')
        if self.serialize_data:
            self.data_bytes, self.data_address = self._serialize_data()
        self._fully_initialized = True

    def select_frames(self, records: list[dict]) -> list[dict]:
        """Those of the asked scenes, of these every ``interval``-th."""
        count, names = len(records), sorted({record['scene'] for record in records})
        if self.scenes is not None:
            names = self._asked_scenes(names)
        if self.scene_share < 1 and names:
            keep = max(1, int(self.scene_share * len(names) + 0.5))
            if self.scene_seed is not None:
                # NumPy's legacy generator: its stream is frozen
                rng = np.random.RandomState(mix_seed(self.scene_seed, len(names)))
                names = [names[i] for i in rng.permutation(len(names))]
            names = names[:keep]
        chosen = set(names)
        records = [record for record in records if record['scene'] in chosen][:: self.interval]
        if len(records) != count:
            self._log(
                f'{type(self).__name__}: {len(records)} of {count} frames of {self._source()}: '
                f'{len(chosen)} scenes, interval {self.interval}'
            )
        return records

    def _asked_scenes(self, known: list[str]) -> list[str]:
        asked = self.scenes
        if isinstance(asked, str):
            path = Path(self.data_root) / asked
            if not path.is_file():
                raise FileNotFoundError(f'{type(self).__name__}: no list of scenes at {path}')
            asked = path.read_text().split()
        missing = sorted(set(asked) - set(known))
        if missing or not len(asked):
            raise ValueError(
                f'{type(self).__name__}: {len(missing)} of {len(asked)} asked scenes are not in '
                f'{self._source()}, such as {missing[:3]}; it has {len(known)}, such as {known[:3]}'
            )
        return sorted(set(asked))

    def read_infos(self) -> list[dict]:
        """``data_list`` of the info file.

        Raises:
            FileNotFoundError: if there is none.
            SampleError: if it is broken or not one of mmdet3d 1.x.
        """
        path = Path(self.ann_file)
        if not path.is_file():
            raise FileNotFoundError(
                f'{type(self).__name__}: no info file {path}; write it with the converter of '
                'mmdet3d, or leave ann_file out to read the raw folders'
            )
        content = read_array_pickle(path)
        if not isinstance(content, Mapping) or not isinstance(content.get('data_list'), list):
            raise SampleError(
                f"{path}: no 'data_list'; the info files of mmdet3d 1.x have one, older ones are "
                'converted by its tools/dataset_converters/update_infos_to_v2.py'
            )
        return content['data_list']

    def _from_info(self, info: dict) -> dict:
        """The record of an entry of the info file."""
        raise ValueError(f'{type(self).__name__} reads no info files')

    def records_of_infos(self) -> list[dict]:
        """Records of all entries of the info file.

        Raises:
            SampleError: for an entry that lacks something, as one of another data set does.
        """
        records = []
        for number, info in enumerate(self.read_infos()):
            try:
                records.append(self._from_info(info))
            except KeyError as error:
                raise SampleError(
                    f'{self.ann_file}: entry {number} has no {error}: is it an info file for '
                    f'{type(self).__name__} with {list(self.cameras)}?'
                ) from error
        return records

    def keep_complete(
        self, folders: Mapping[str, Mapping[str, str]], wanted: Sequence[str] | None
    ) -> list[str]:
        """Names of the frames that have a file in every folder; the others are logged once.

        Args:
            folders: folder -> (name of a frame -> name of its file).
            wanted: names of a frame list; default all that are in any folder.

        Raises:
            FileNotFoundError: if no frame is complete; in ``test_mode`` already if one is not.
        """
        every = sorted(set().union(*folders.values())) if wanted is None else list(wanted)
        missing = {
            folder: [name for name in every if name not in files]
            for folder, files in folders.items()
        }
        lost = set().union(*map(set, missing.values()))
        if not lost:
            return every
        text = '; '.join(
            f'{folder} has {len(folders[folder])} files and lacks {len(names)} frames '
            f'({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'
            for folder, names in missing.items()
            if names
        )
        if self.test_mode or len(lost) == len(every):
            raise FileNotFoundError(
                f'{type(self).__name__}: {len(lost)} of {len(every)} frames are not complete: '
                f'{text}'
            )
        self._warn(
            f'{type(self).__name__}: {len(lost)} of {len(every)} frames are left out, they are not '
            f'complete: {text}'
        )
        return [name for name in every if name not in lost]

    # ------------------------------------------------------------------ access

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """The record of frame ``idx``; see the class docstring.

        Raises:
            SampleError: if a file that belongs to it (a calibration) is broken.
        """
        record = dict(super().get_data_info(int(idx)))
        record.setdefault('sweeps', [])
        if self.asked_width is not None:
            record['num_pts_feats'] = self.asked_width
        record.setdefault('num_pts_feats', self.num_pts_feats)
        record.setdefault('intensity_scale', self.intensity_scale)
        return self.complete_record(record)

    def prepare_data(self, idx: int) -> Any:
        """Frame ``idx`` after the pipeline.

        Raises:
            SampleError: naming frame and file, if its data are broken.
        """
        try:
            return self.pipeline(self.get_data_info(idx))
        except (SampleError, OSError) as error:
            raise SampleError(f'{type(self).__name__}: frame {int(idx)}: {error}') from error

    def __getitem__(self, idx: int) -> Any:
        """Frame ``idx`` after the pipeline, or another one in place of a broken one.

        An index of :class:`~mm3dpretrain.datasets.samplers.SeededSampler` seeds the transforms and
        the choice of the other frame, which therefore do not depend on a worker's history.

        Raises:
            SampleError: for a broken frame in ``test_mode`` or with ``max_refetch=0``.
            RuntimeError: if ``max_refetch`` others, or all, are broken too.
        """
        if not self._fully_initialized:
            self.full_init()
        if self.test_mode or self.max_refetch == 0:
            seed_sample(idx)
            return self.prepare_data(idx)
        total = len(self)
        if not -total <= idx < total:
            raise IndexError(f'{type(self).__name__}: frame {int(idx)} of {total}')
        candidates = [int(idx) % total]
        others = None
        while True:
            current = candidates[-1]
            seed_sample(idx)
            try:
                return self.prepare_data(current)
            except SampleError as error:
                last = error
                # logged once, but tried again when it is drawn again: its file may be fine and a
                # random crop without a point to blame, and what a draw gives must not depend on
                # what this process read before
                if current not in self.broken:
                    self.broken[current] = str(error)
                    self._warn(f'{error} [broken frame number {len(self.broken)}, replaced]')
            if len(candidates) == total or len(candidates) > self.max_refetch:
                raise RuntimeError(
                    f'{type(self).__name__}: {len(candidates)} broken frames in a row '
                    f'(max_refetch={self.max_refetch}, {total} frames in {self._source()}); the '
                    f'last one: {last}'
                ) from last
            if others is None:
                seed = idx.seed if isinstance(idx, SeededIndex) else np.random.randint(2**31)
                order = np.random.default_rng([int(seed), current]).permutation(total)
                others = iter(order[order != current].tolist())
            candidates.append(next(others))
            if isinstance(idx, SeededIndex):
                # with the same random numbers an unlucky crop would be that of the others too
                idx = SeededIndex(int(idx), mix_seed(idx.seed, len(candidates)))

    # ------------------------------------------------------------------ helpers

    def _source(self) -> str:
        return self.ann_file or f'split {self.split!r} of {self.data_root}'


def list_files(folder: str | os.PathLike, suffixes: Sequence[str]) -> dict[str, str]:
    """Name of a frame -> name of its file, of the files with these suffixes, sorted.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f'no folder {os.fspath(folder)}') from None
    return {
        name.partition('.')[0]: name
        for name in names
        if name.lower().endswith(tuple(suffixes)) and not name.startswith('.')
    }


def list_pictures(folder: str | os.PathLike) -> dict[str, str]:
    """Name of a frame -> name of its PNG or JPEG file."""
    return list_files(folder, IMAGE_SUFFIXES)


def as_square(matrix: Any) -> np.ndarray:
    """A (3, 3), (3, 4) or (4, 4) matrix as float64 (4, 4).

    Raises:
        SampleError: for another shape or values that are not finite.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape not in ((3, 3), (3, 4), (4, 4)) or not np.isfinite(matrix).all():
        raise SampleError(f'a calibration matrix of shape {matrix.shape} or with NaN: {matrix}')
    square = np.eye(4)
    square[: matrix.shape[0], : matrix.shape[1]] = matrix
    return square


def camera_record(img_path: str, camera: str, cam2img: Any, lidar2cam: Any) -> dict:
    """An entry of ``images``.

    Args:
        img_path: the picture.
        camera: its name.
        cam2img: (3, 3), or (3, 4) / (4, 4) with KITTI's shift in the fourth column.
        lidar2cam: (4, 4) to the frame of ``cam2img``.

    Raises:
        SampleError: for a broken matrix.
    """
    cam2img, lidar2cam = as_square(cam2img), as_square(lidar2cam)
    return dict(
        img_path=img_path,
        camera=camera,
        lidar2img=cam2img @ lidar2cam,
        lidar2cam=lidar2cam,
        cam2img=cam2img[:3, :3].copy(),
    )
