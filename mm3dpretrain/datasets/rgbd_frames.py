"""Scans as colour, depth and poses: tuples of views that see the same surface."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init

from .caching import cache_name
from .frame_files import DEPTH_RANGE, check_intrinsics, check_pose, read_matrix, upright
from .frame_overlap import (
    OverlapSettings,
    choose_tuples,
    measure_overlap,
    overlap_key,
    pair_overlap,
)
from .io import SampleError
from .pairs import BasePairs
from .samplers import mix_seed
from .scene_cloud import fuse_scan

CLOUDS = ('frames', 'scan', 'file')
SCAN_VOXEL, SCAN_STRIDE = 0.02, 2  # of clouds fused from whole scans: metres, pixels


@dataclass
class Scan:
    """What a subclass knows of one scan.

    Args:
        frames: dicts with ``frame_id`` (str), ``img_path``, ``depth_path``, ``depth_scale``,
            ``cam2img`` (3, 3), where the depth camera is another one ``depth_cam2img`` (3, 3), and
            ``pose``: (4, 4) camera-to-world or the path of a text file with it.
        cloud_path: cloud or mesh of the scan in the world of the poses, or None.
        align: (4, 4) rigid motion from the world of the poses to one with gravity along -z. None
            takes the mean of the pictures' downward directions for gravity.
        problems: frames that cannot be used -> why.
    """

    frames: list[dict]
    cloud_path: str | None = None
    align: np.ndarray | None = field(default_factory=lambda: np.eye(4))
    problems: dict[str, str] = field(default_factory=dict)


class RGBDFrames(BasePairs):
    """Tuples of frames of RGB-D scans; one sample is one tuple of V views.

    Views 0 and 1, 2 and 3, ... are partners: each sees at least ``min_overlap`` of the other's
    measured pixels (the smaller of both directions counts, see
    :func:`~mm3dpretrain.datasets.frame_overlap.scan_overlap`). The overlap is measured once and
    kept in ``cache_dir``.

    A subclass gives :meth:`list_scans` and :meth:`read_scan`. :meth:`get_data_info` gives records
    with

    - ``sample_id`` ('<scene>/<frame>-<frame>') and ``scene`` (str);
    - ``frames``: list of V dicts: ``frame_id``, ``img_path``, ``depth_path``, ``depth_scale``
      (value of one metre), ``cam2world`` (4, 4) float64, OpenCV axes, ``cam2img`` (3, 3) float64
      of the colour picture as stored and, where the depth camera is another one,
      ``depth_cam2img`` (3, 3) of the depth picture; pixel centres are at j + 0.5;
    - ``overlap``: list of V / 2 floats, that of each pair of partners;
    - ``cloud_path`` or None (then the cloud is fused from the frames of the tuple) and
      ``cloud_align`` (4, 4), which takes that file's points to the world of the poses;
    - ``gravity_axis`` 'z': the world is turned so that gravity is along -z. Metres, unless the
      set says otherwise; ``depth_range``.

    Frames that cannot be used (a pose that is missing, NaN or infinite; depth that is empty, in
    another unit or of another size than colour; broken files) are left out with one line each and
    counted in :attr:`skipped`. Tuples that turn out to be broken when they are read are replaced as
    in :class:`~mm3dpretrain.datasets.pairs.BasePairs`.

    Args:
        data_root: folder of the set.
        split: which part of it.
        num_views: V, even; or 1 for single frames, which have no partner to match.
        min_overlap: see above; 0.3 is that of PointContrast's and Pri3D's lists (which take the
            larger direction).
        max_tuples: so many tuples of a scan at most, drawn by ``seed``; default all pairs.
        seed: of that draw.
        frame_range: (first, last) of a scan's frames, as a slice: (None, 65) the first 65,
            (-20, None) the last 20.
        frame_interval: keep every so-manieth of those; ScanNet's usual 25 is made at export.
        scenes, scene_share, scene_seed: see :class:`~mm3dpretrain.datasets.pairs.BasePairs`.
        cloud: 'frames' fuses the frames of the tuple; 'scan' all frames of the scan that are used,
            once, kept in ``cache_dir``; 'file' takes the cloud or mesh of the scan.
        overlap_stride: grid on which overlap is measured, in pixels.
        depth_tol: largest difference of depths of one surface, in metres.
        depth_range: (near, far) in metres; see
            :func:`~mm3dpretrain.datasets.frame_files.read_frame_depth`.
        cache_dir: where overlap is kept.
        workers: processes that measure it; None for one a core.
        max_refetch, pipeline, metainfo, indices, serialize_data, test_mode, lazy_init: see
            :class:`~mm3dpretrain.datasets.pairs.BasePairs`.

    Raises:
        ValueError: for arguments out of range, no usable frame, or no pair with enough overlap.
        FileNotFoundError: if the set is not at ``data_root``.
    """

    METAINFO = dict(gravity_axis='z', normalization='metric')
    CAMERAS = DEFAULT_CAMERAS = ('color',)
    #: value of one metre in the depth pictures
    DEPTH_SCALE = 1000.0
    #: added to the principal points of the files, see check_intrinsics
    CENTER_SHIFT = 0.0
    DEPTH_TOL = 0.05

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        num_views: int = 2,
        min_overlap: float = 0.3,
        max_tuples: int | None = None,
        seed: int = 0,
        frame_range: tuple[int | None, int | None] = (None, None),
        frame_interval: int = 1,
        scenes: Sequence[str] | str | None = None,
        scene_share: float = 1.0,
        scene_seed: int | None = 0,
        cloud: str = 'frames',
        overlap_stride: int = 4,
        depth_tol: float | None = None,
        depth_range: tuple[float, float] = DEPTH_RANGE,
        cache_dir: str = 'data/cache/rgbd_frames',
        workers: int | None = None,
        max_refetch: int = 10,
        pipeline: Sequence[dict | Callable] = (),
        metainfo: Mapping | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        test_mode: bool = False,
        lazy_init: bool = False,
    ) -> None:
        name = type(self).__name__
        depth_tol = self.DEPTH_TOL if depth_tol is None else depth_tol
        if num_views != 1 and (num_views < 2 or num_views % 2):
            raise ValueError(
                f'{name}: num_views must be 1 or even, partners are pairs, got {num_views}'
            )
        if not 0 < min_overlap <= 1:
            raise ValueError(f'{name}: min_overlap must be in (0, 1], got {min_overlap}')
        if frame_interval < 1 or overlap_stride < 1 or (max_tuples is not None and max_tuples < 1):
            raise ValueError(
                f'{name}: frame_interval, overlap_stride and max_tuples must be positive, got '
                f'{frame_interval}, {overlap_stride}, {max_tuples}'
            )
        if not 0 < depth_range[0] < depth_range[1] or not depth_tol > 0:
            raise ValueError(
                f'{name}: need 0 < near < far and depth_tol > 0, got {depth_range}, {depth_tol}'
            )
        if cloud not in CLOUDS:
            raise ValueError(f'{name}: cloud must be one of {CLOUDS}, got {cloud!r}')
        if len(frame_range) != 2:
            raise ValueError(f'{name}: frame_range must be (first, last), got {frame_range}')
        self.num_views = num_views
        self.min_overlap = min_overlap
        self.max_tuples = max_tuples
        self.seed = seed
        self.frames_used = slice(*frame_range, None)
        self.frame_interval = frame_interval
        self.cloud = cloud
        self.settings = OverlapSettings(overlap_stride, float(depth_tol), tuple(depth_range))
        self.cache_dir = cache_dir
        self.workers = workers
        #: '<scene>/<frame>' of each frame that is left out -> why
        self.skipped: dict[str, str] = {}
        self.scans: dict[str, Scan] = {}
        #: numbers of the frames of each scan whose files are in order
        self.usable: dict[str, list[int]] = {}
        super().__init__(
            data_root,
            split,
            scenes=scenes,
            scene_share=scene_share,
            scene_seed=scene_seed,
            max_refetch=max_refetch,
            pipeline=pipeline,
            metainfo=metainfo,
            indices=indices,
            serialize_data=serialize_data,
            test_mode=test_mode,
            lazy_init=lazy_init,
        )

    # ------------------------------------------------------------------ a subclass's part

    @abstractmethod
    def list_scans(self) -> list[str]:
        """Names of the scans of the split.

        Raises:
            FileNotFoundError: if the set is not there.
        """

    @abstractmethod
    def read_scan(self, scene: str) -> Scan:
        """Frames of a scan, in the order of time; poses need not be read.

        Raises:
            SampleError: if the scan as a whole cannot be used; it is then left out.
        """

    # ------------------------------------------------------------------ set-up

    def load_data_list(self) -> list[dict]:
        """One short record for each tuple; :meth:`get_data_info` completes it."""
        names = super().select_frames([dict(scene=name) for name in self.list_scans()])
        for name in sorted(record['scene'] for record in names):
            try:
                self.scans[name] = self.prepare_scan(name, self.read_scan(name))
            except SampleError as error:
                self._skip(name, str(error))
        overlap = measure_overlap(
            {name: scan.frames for name, scan in self.scans.items() if scan.frames},
            self.settings,
            self.cache_dir,
            self.workers,
        )
        records, used, alone = [], 0, []
        for number, (name, found) in enumerate(sorted(overlap.items())):
            frames = self.scans[name].frames
            for frame, reason in found.broken.items():
                self._skip(f'{name}/{frames[frame]["frame_id"]}', reason)
            self.usable[name] = [k for k in range(len(frames)) if k not in found.broken]
            used += len(self.usable[name])
            tuples = choose_tuples(
                found.share,
                self.num_views,
                self.min_overlap,
                self.max_tuples,
                mix_seed(self.seed, number),
            )
            if not tuples:
                alone.append(name)
            share = pair_overlap(found.share)
            records += [
                dict(
                    scene=name,
                    views=views,
                    overlap=[float(share[p]) for p in zip(views[::2], views[1::2])],
                )
                for views in tuples
            ]
        self._report(records, used, alone)
        return records

    def select_frames(self, records: list[dict]) -> list[dict]:
        """All tuples: scans are chosen before their overlap is measured."""
        return records

    def prepare_scan(self, name: str, scan: Scan) -> Scan:
        """The scan with the asked frames: ``pose`` gives way to ``cam2world``, turned upright."""
        for frame_id, reason in scan.problems.items():
            self._skip(f'{name}/{frame_id}', reason)
        kept = []
        for frame in scan.frames[self.frames_used][:: self.frame_interval]:
            frame = dict(frame)
            pose = frame.pop('pose')
            try:
                if not isinstance(pose, np.ndarray):
                    pose = check_pose(read_matrix(pose, 'pose'), os.fspath(pose))
                pose = check_pose(pose, f'{name}/{frame["frame_id"]}')
            except SampleError as error:
                self._skip(f'{name}/{frame["frame_id"]}', str(error))
                continue
            frame['cam2world'] = pose
            kept.append(frame)
        align = scan.align
        if align is None and kept:
            align = upright(np.mean([frame['cam2world'][:3, 1] for frame in kept], axis=0))
        for frame in kept:
            frame['cam2world'] = align @ frame['cam2world']
        if self.cloud == 'file' and scan.cloud_path is None:
            raise SampleError(f"{name} has no cloud or mesh: use cloud='frames' or cloud='scan'")
        return Scan(kept, scan.cloud_path, align)

    def _skip(self, what: str, reason: str) -> None:
        self.skipped[what] = reason
        self._warn(f'{type(self).__name__}: {what} is left out: {reason}')

    def _report(self, records: list[dict], used: int, alone: list[str]) -> None:
        name = type(self).__name__
        count = f'{len(self.skipped)} frames or scans left out'
        if not used:
            first = next(iter(self.skipped.values()), 'there are none')
            raise ValueError(f'{name}: no usable frame in {self._source()} ({count}): {first}')
        if not records:
            raise ValueError(
                f'{name}: no two of {used} frames in {self._source()} share {self.min_overlap:.0%} '
                f'of what they see ({count}): lower min_overlap or frame_interval; are the poses '
                f'camera-to-world, and depth {self.DEPTH_SCALE:g} counts a metre?'
            )
        for scene in alone:
            self._skip(scene, f'no two of its frames share {self.min_overlap:.0%} of what they see')
        count = f'{len(self.skipped)} frames or scans left out'
        self._log(
            f'{name}: {len(records)} tuples of {self.num_views} views from {used} frames of '
            f'{len(self.scans)} scans in {self._source()}, {count}'
        )

    # ------------------------------------------------------------------ access

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """The record of tuple ``idx``; see the class docstring."""
        record = dict(BaseDataset.get_data_info(self, int(idx)))
        scan = self.scans[record['scene']]
        frames = [dict(scan.frames[view]) for view in record.pop('views')]
        names = '-'.join(frame['frame_id'] for frame in frames)
        path, align = None, np.eye(4)
        if self.cloud == 'file':
            path, align = scan.cloud_path, scan.align
        elif self.cloud == 'scan':
            path = self._scan_cloud(record['scene'])
        record.update(
            sample_id=f'{record["scene"]}/{names}',
            frames=frames,
            cloud_path=path,
            cloud_align=align,
            gravity_axis='z',
            depth_range=self.settings.depth_range,
        )
        return record

    def _scan_cloud(self, scene: str) -> str:
        """The cloud of all frames of a scan, made when it is first needed."""
        frames = self.scans[scene].frames
        name = cache_name(
            'cloud',
            frames=overlap_key(frames, self.settings),
            usable=self.usable[scene],
            voxel=SCAN_VOXEL,
            stride=SCAN_STRIDE,
        )
        path = Path(self.cache_dir) / 'clouds' / f'{name}.npy'
        if not path.is_file():
            frames = [frames[view] for view in self.usable[scene]]
            fuse_scan(path, frames, self.settings.depth_range, SCAN_VOXEL, SCAN_STRIDE)
        return os.fspath(path)

    # ------------------------------------------------------------------ for subclasses

    def read_intrinsics(self, path: str | os.PathLike) -> np.ndarray:
        """(3, 3) of a text file, pixel centres at j + 0.5.

        Raises:
            SampleError: if it is missing or broken.
        """
        path = os.fspath(path)
        return check_intrinsics(read_matrix(path, 'intrinsics'), path, self.CENTER_SHIFT)
