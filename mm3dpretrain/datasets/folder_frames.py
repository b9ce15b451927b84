"""RGB-D sets with a layout of their own: 7-Scenes, TUM RGB-D, SUN RGB-D."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .frame_files import check_intrinsics, read_matrix, upright
from .io import SampleError, missing_root_error
from .pairs import list_files, list_pictures
from .rgbd_frames import RGBDFrames, Scan

INTRINSICS_FILE = 'camera-intrinsics.txt'
GRAVITY_FILE = 'gravity-direction.txt'


class FolderFrames(RGBDFrames):
    """What sets share whose scans are folders somewhere below ``data_root``.

    ``camera-intrinsics.txt`` (3 x 3) in the folder of a scan or above it, up to ``data_root``,
    replaces the set's usual intrinsics; ``gravity-direction.txt`` (x, y, z, downwards in the world
    of the poses) says where down is.
    """

    LAYOUT = ''
    SOURCE = ''

    def find_folders(self, pattern: str) -> list[str]:
        """Folders at any depth that hold a file with such a name.

        Raises:
            FileNotFoundError: if there is none.
        """
        root = Path(self.data_root)
        found = {path.parent.relative_to(root).as_posix() for path in root.rglob(pattern)}
        if not found:
            raise missing_root_error(type(self).__name__, root, self.LAYOUT, self.SOURCE)
        return sorted(found)

    def find_above(self, scene: str, name: str) -> Path | None:
        """The file ``name`` in the folder of a scan or the nearest one above it, or None."""
        root = Path(self.data_root)
        folder = root / scene
        for place in (folder, *folder.parents):
            if (place / name).is_file():
                return place / name
            if place == root:
                return None
        return None

    def camera(self, scene: str, usual: Sequence[float]) -> np.ndarray:
        """Intrinsics (3, 3) of a scan; ``usual`` is fx, fy, cx, cy."""
        path = self.find_above(scene, INTRINSICS_FILE)
        if path is not None:
            return self.read_intrinsics(path)
        fx, fy, cx, cy = usual
        matrix = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
        return check_intrinsics(matrix, type(self).__name__, self.CENTER_SHIFT)

    def gravity(self, scene: str) -> np.ndarray | None:
        """Rotation (4, 4) to z up, if a file says where down is."""
        path = self.find_above(scene, GRAVITY_FILE)
        if path is None:
            return None
        try:
            return upright(np.array(path.read_text().split(), np.float64))
        except ValueError as error:
            raise SampleError(f'{path}: not a direction: {error}') from error


@DATASETS.register_module()
class SevenScenesFrames(FolderFrames):
    """7-Scenes, or other folders of ``<frame>.color.png`` (or .jpg), ``.depth.png``, ``.pose.txt``.

    Every folder with such files is a scan. 'TrainSplit.txt' and 'TestSplit.txt' above it
    ('sequence1' is ``seq-01``) are obeyed for the splits 'train' and 'test'; where there are none
    every scan is in every split. Depth is in millimetres; 0 and 65535 are missing. The intrinsics
    are those of 7-Scenes' page for both cameras (585, 585, 320, 240), which are registered to a
    few pixels only. Without ``gravity-direction.txt`` the mean of the pictures' downward directions
    is down.
    """

    INTRINSICS = (585.0, 585.0, 320.0, 240.0)
    LAYOUT = '  <data_root>/.../frame-000000.{color.png,depth.png,pose.txt}'
    SOURCE = 'https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes'

    def list_scans(self) -> list[str]:
        """Folders with poses."""
        scans = self.find_folders('*.pose.txt')
        lists = dict(train='TrainSplit.txt', test='TestSplit.txt')
        name = lists.get(self.split)
        return [scan for scan in scans if name is None or self._in_split(scan, name)]

    def _in_split(self, scan: str, name: str) -> bool:
        path = Path(self.data_root) / scan
        listed = path.parent / name
        if not listed.is_file():
            return True
        words = listed.read_text().lower().split()
        numbers = {word.removeprefix('sequence').lstrip('0') for word in words}
        return path.name.removeprefix('seq-').lstrip('0') in numbers

    def read_scan(self, scene: str) -> Scan:
        """Frames by name; the colour picture may be PNG or JPEG."""
        folder = Path(self.data_root) / scene
        camera = dict(cam2img=self.camera(scene, self.INTRINSICS), depth_scale=self.DEPTH_SCALE)
        pictures = os.listdir(folder)
        frames, problems = [], {}
        colors = {
            name.partition('.')[0]: name
            for name in pictures
            if name.lower().endswith(('.color.png', '.color.jpg', '.color.jpeg'))
        }
        files = set(pictures)
        for name in sorted(colors):
            if f'{name}.depth.png' not in files:
                problems[name] = f'{folder}: no {name}.depth.png'
                continue
            frames.append(
                dict(
                    camera,
                    frame_id=name,
                    img_path=os.fspath(folder / colors[name]),
                    depth_path=os.fspath(folder / f'{name}.depth.png'),
                    pose=os.fspath(folder / f'{name}.pose.txt'),
                )
            )
        return Scan(frames, align=self.gravity(scene), problems=problems)


@DATASETS.register_module()
class TUMFrames(FolderFrames):
    """Sequences of TUM RGB-D: ``rgb.txt``, ``depth.txt`` and ``groundtruth.txt`` with times.

    A colour picture goes with the depth picture and the pose nearest in time, if they are not
    farther than ``max_delay``; others are left out. Depth has 5000 counts a metre and lies on the
    colour grid; +z of the motion capture is up. Frames come at 30 Hz: set ``frame_interval``.

    Args:
        max_delay: seconds.
        **kwargs: see :class:`~mm3dpretrain.datasets.rgbd_frames.RGBDFrames`.

    Raises:
        ValueError: for a delay that is not positive.
    """

    DEPTH_SCALE = 5000.0
    CENTER_SHIFT = 0.5
    #: of the registered pictures, by what the name of the sequence contains
    INTRINSICS = {
        'freiburg1': (517.3, 516.5, 318.6, 255.3),
        'freiburg2': (520.9, 521.0, 325.1, 249.7),
        'freiburg3': (535.4, 539.2, 320.1, 247.6),
        '': (525.0, 525.0, 319.5, 239.5),
    }
    LAYOUT = '  <data_root>/<sequence>/{rgb.txt,depth.txt,groundtruth.txt,rgb/,depth/}'
    SOURCE = 'https://cvg.cit.tum.de/data/datasets/rgbd-dataset'

    def __init__(self, data_root: str, max_delay: float = 0.02, **kwargs) -> None:
        if not max_delay > 0:
            raise ValueError(f'TUMFrames: max_delay must be positive, got {max_delay}')
        self.max_delay = max_delay
        super().__init__(data_root, **kwargs)

    def list_scans(self) -> list[str]:
        """Folders with a trajectory."""
        return self.find_folders('groundtruth.txt')

    def read_scan(self, scene: str) -> Scan:
        """Colour pictures with the depth and pose of their time."""
        folder = Path(self.data_root) / scene
        usual = next(value for key, value in self.INTRINSICS.items() if key in scene)
        camera = dict(cam2img=self.camera(scene, usual), depth_scale=self.DEPTH_SCALE)
        colors = _timed(folder / 'rgb.txt', 1)
        depths = _timed(folder / 'depth.txt', 1)
        poses = _timed(folder / 'groundtruth.txt', 7)
        frames, problems = [], {}
        for time, (name,) in zip(*colors):
            stem = Path(name).stem
            depth, pose = (_nearest(time, *rows, self.max_delay) for rows in (depths, poses))
            if depth is None or pose is None:
                what = 'depth picture' if depth is None else 'pose'
                problems[stem] = f'{folder}: no {what} within {self.max_delay:g} s of {name}'
                continue
            frames.append(
                dict(
                    camera,
                    frame_id=stem,
                    img_path=os.fspath(folder / name),
                    depth_path=os.fspath(folder / depth[0]),
                    pose=pose_matrix(pose),
                )
            )
        return Scan(frames, align=np.eye(4), problems=problems)


def _timed(path: Path, columns: int) -> tuple[np.ndarray, list[list[str]]]:
    """Times (n,) ascending, and the words behind them, of a file of TUM RGB-D."""
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
        rows = [row for row in rows if row and not row[0].startswith('#')]
        rows.sort(key=lambda row: float(row[0]))
    except (OSError, ValueError) as error:
        raise SampleError(f'{path}: cannot read the list ({error})') from error
    if not rows or any(len(row) < columns + 1 for row in rows):
        raise SampleError(f'{path}: every line needs a time and {columns} values')
    return np.array([float(row[0]) for row in rows]), [row[1 : columns + 1] for row in rows]


def _nearest(time: float, times: np.ndarray, rows: list, limit: float):
    place = int(np.searchsorted(times, time))
    best = min(
        (k for k in (place - 1, place) if 0 <= k < len(times)), key=lambda k: abs(times[k] - time)
    )
    return rows[best] if abs(times[best] - time) <= limit else None


def pose_matrix(words: Sequence[str]) -> np.ndarray:
    """(4, 4) of tx, ty, tz, qx, qy, qz, qw; NaN where they are no numbers of a rotation."""
    matrix = np.full((4, 4), np.nan)
    try:
        values = np.array(words, np.float64)
    except ValueError:
        return matrix
    length = np.linalg.norm(values[3:])
    if not np.isfinite(values).all() or length < 1e-6:
        return matrix
    x, y, z, w = values[3:] / length
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = values[:3]
    matrix[3] = 0, 0, 0, 1
    return matrix


@DATASETS.register_module()
class SUNRGBDFrames(FolderFrames):
    """SUN RGB-D: every picture is a scan of one frame, for ``num_views=1``.

    A folder has ``intrinsics.txt``, ``image/``, ``depth/`` (uint16 millimetres whose bits are
    rotated by 3) and ``extrinsics/`` (3 x 4: how the sensor was tilted). The camera is at the
    origin, +z is up. There are no partners, hence no correspondences: for the transfer from 2D
    alone, and to test on.

    Args:
        filled: take ``depth_bfx``, whose holes are filled in.
        **kwargs: see :class:`~mm3dpretrain.datasets.rgbd_frames.RGBDFrames`.

    Raises:
        ValueError: for more than one view.
    """

    LAYOUT = '  <data_root>/.../<frame>/{intrinsics.txt,image/*.jpg,depth/*.png,extrinsics/*.txt}'
    SOURCE = 'https://rgbd.cs.princeton.edu'

    def __init__(self, data_root: str, num_views: int = 1, filled: bool = False, **kwargs) -> None:
        if num_views != 1:
            raise ValueError(f'SUNRGBDFrames has one view of each scene, got {num_views=}')
        self.depth_folder = 'depth_bfx' if filled else 'depth'
        super().__init__(data_root, num_views=1, **kwargs)

    def list_scans(self) -> list[str]:
        """Folders with intrinsics."""
        return self.find_folders('intrinsics.txt')

    def read_scan(self, scene: str) -> Scan:
        """The one frame of a folder."""
        folder = Path(self.data_root) / scene
        try:
            parts = [
                list_pictures(folder / 'image'),
                list_files(folder / self.depth_folder, ('.png',)),
                list_files(folder / 'extrinsics', ('.txt',)),
            ]
        except FileNotFoundError as error:
            raise SampleError(f'{scene}: {error}') from error
        if not all(parts):
            raise SampleError(f'{folder}: no picture, depth or extrinsics')
        image, depth = (next(iter(part.values())) for part in parts[:2])
        # the last one is the newest
        tilt = list(parts[2].values())[-1]
        # the tilt applies to x right, y forward, z up
        pose = np.eye(4)
        turned = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float64)
        pose[:3, :3] = read_matrix(folder / 'extrinsics' / tilt, 'tilt')[:3, :3] @ turned
        frame = dict(
            frame_id=Path(image).stem,
            img_path=os.fspath(folder / 'image' / image),
            depth_path=os.fspath(folder / self.depth_folder / depth),
            depth_scale=self.DEPTH_SCALE,
            rotated_bits=3,
            cam2img=self.read_intrinsics(folder / 'intrinsics.txt'),
            pose=pose,
        )
        return Scan([frame])
