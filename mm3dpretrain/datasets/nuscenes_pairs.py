"""nuScenes: LIDAR_TOP with its six cameras, from info files or from the raw tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .io import SampleError, missing_root_error
from .pairs import BasePairs, as_square, camera_record

CAMERAS = (
    'CAM_FRONT',
    'CAM_FRONT_RIGHT',
    'CAM_FRONT_LEFT',
    'CAM_BACK',
    'CAM_BACK_LEFT',
    'CAM_BACK_RIGHT',
)
# the 150 validation scenes, first and last number of each run
VAL_SCENES = """3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627
629-630 632-638 770-771 775 777-778 780-784 794-800 802 904-917 919-931 962-963 966-969 971-972
1059-1073"""
# two of the ten scenes of the mini version; two others of the 150 are for training there
MINI_VAL_SCENES = '103 916'
SPLITS = ('train', 'val', 'trainval', 'test')
LAYOUT = """  <data_root>/v1.0-trainval/{sample,sample_data,ego_pose,...}.json
  <data_root>/samples/{LIDAR_TOP,CAM_FRONT,...}/*, <data_root>/sweeps/LIDAR_TOP/*
  or <data_root>/nuscenes_infos_{train,val}.pkl of mmdet3d in place of the tables"""
SOURCE = 'nuscenes.org; non-commercial, CC BY-NC-SA 4.0 and the terms of nuScenes'


@DATASETS.register_module()
class NuScenesPairs(BasePairs):
    """Key frames of nuScenes; labels are not read.

    Frame: x right, y forward, z up. Points: x, y, z, intensity (255 in the file becomes 1), ring.
    A picture is taken at another moment than the scan; ``lidar2cam`` takes the way of the car in
    between into account, as nuScenes' own tools do.

    With ``ann_file`` an info file of mmdet3d is read; it does not name scenes, so that the log
    (first part of the file names, several scenes of one drive) stands for the scene. Without one
    the tables of ``version`` are streamed: half a minute for the complete set, at every start.

    ``data_prefix``: ``pts`` (``samples/LIDAR_TOP``), ``sweeps`` (``sweeps/LIDAR_TOP``) and ``img``
    (``samples/{camera}``), for info files; the tables have the paths.

    Args:
        data_root: folder of the set.
        split: 'train', 'val', 'trainval' or 'test'. It chooses scenes of the tables; an info file
            is read whole.
        version: folder of the tables; default 'v1.0-test' for the split 'test', else
            'v1.0-trainval'. 'v1.0-mini' has 8 scenes of train and 2 of val.
        sweeps: how many scans before each key frame the records list; ``LoadLidar`` reads what it
            is asked for.
        cameras: of the six, in any order; default all.
        **kwargs: see :class:`~mm3dpretrain.datasets.pairs.BasePairs`.

    Raises:
        ValueError: for another split or a negative number of sweeps.
    """

    METAINFO = dict(lidar_frame='x right, y forward, z up', normalization='metric')
    CAMERAS = CAMERAS
    DEFAULT_CAMERAS = CAMERAS
    NUM_PTS_FEATS = 5
    INTENSITY_SCALE = 255.0
    DATA_PREFIX = dict(pts='samples/LIDAR_TOP', sweeps='sweeps/LIDAR_TOP', img='samples/{camera}')

    def __init__(
        self,
        data_root: str = 'data/nuscenes',
        split: str = 'train',
        version: str | None = None,
        sweeps: int = 0,
        **kwargs,
    ) -> None:
        if split not in SPLITS or sweeps < 0:
            raise ValueError(
                f'NuScenesPairs: split must be one of {SPLITS} and sweeps >= 0, got {split!r}, '
                f'{sweeps}'
            )
        self.version = version or ('v1.0-test' if split == 'test' else 'v1.0-trainval')
        self.num_sweeps = sweeps
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each key frame."""
        if self.ann_file:
            return self.records_of_infos()
        return self._from_tables(Path(self.data_root) / self.version)

    # ------------------------------------------------------------------ info files

    def _from_info(self, info: dict) -> dict:
        lidar = info['lidar_points']
        name = Path(lidar['lidar_path']).name
        missing = [camera for camera in self.cameras if camera not in info['images']]
        if missing:
            raise SampleError(f'{self.ann_file}: the frame {name} has no {missing}')
        images = []
        for camera in self.cameras:
            image = info['images'][camera]
            path = os.path.join(
                self.data_prefix['img'].format(camera=camera), Path(image['img_path']).name
            )
            images.append(camera_record(path, camera, image['cam2img'], image['lidar2cam']))
        return dict(
            sample_id=info.get('token', name),
            scene=name.split('__')[0],
            lidar_path=os.path.join(self.data_prefix['pts'], name),
            num_pts_feats=lidar.get('num_pts_feats', self.num_pts_feats),
            images=images,
            sweeps=[
                self._info_sweep(sweep, info.get('timestamp', 0.0))
                for sweep in info.get('lidar_sweeps', [])[: self.num_sweeps]
            ],
        )

    def _info_sweep(self, sweep: dict, now: float) -> dict:
        path = sweep['lidar_points']['lidar_path']
        folder = 'pts' if 'samples' in Path(path).parts else 'sweeps'
        return dict(
            lidar_path=os.path.join(self.data_prefix[folder], Path(path).name),
            num_pts_feats=self.num_pts_feats,
            to_key=np.linalg.inv(as_square(sweep['lidar_points']['lidar2sensor'])),
            time=float(now - sweep['timestamp']),
        )

    # ------------------------------------------------------------------ tables

    def _from_tables(self, folder: Path) -> list[dict]:
        if not folder.is_dir():
            raise missing_root_error(f'NuScenesPairs: {folder}', self.data_root, LAYOUT, SOURCE)
        validation = _numbers(MINI_VAL_SCENES if self.version == 'v1.0-mini' else VAL_SCENES)
        scenes = {}
        for row in read_table(folder / 'scene.json'):
            is_val = int(row['name'].rpartition('-')[2]) in validation
            if self.split in ('trainval', 'test') or is_val == (self.split == 'val'):
                scenes[row['token']] = row['name']
        samples = {
            row['token']: (scenes[row['scene_token']], row['timestamp'])
            for row in read_table(folder / 'sample.json')
            if row['scene_token'] in scenes
        }
        channels = {row['token']: row['channel'] for row in read_table(folder / 'sensor.json')}
        sensors = {
            row['token']: dict(
                channel=channels[row['sensor_token']],
                pose=pose_matrix(row['rotation'], row['translation']),
                cam2img=row['camera_intrinsic'],
            )
            for row in read_table(folder / 'calibrated_sensor.json')
            if channels[row['sensor_token']] in ('LIDAR_TOP', *self.cameras)
        }
        frames: dict[str, dict[str, dict]] = {token: {} for token in samples}
        scans = {}  # of LIDAR_TOP between the key frames, by their own token
        for row in read_table(folder / 'sample_data.json'):
            if row['calibrated_sensor_token'] not in sensors or row['sample_token'] not in samples:
                continue
            channel = sensors[row['calibrated_sensor_token']]['channel']
            wanted = ('filename', 'calibrated_sensor_token', 'ego_pose_token', 'timestamp', 'prev')
            if row['is_key_frame']:
                frames[row['sample_token']][channel] = {key: row[key] for key in wanted}
            if self.num_sweeps and channel == 'LIDAR_TOP':
                scans[row['token']] = {key: row[key] for key in wanted}
        rows = [row for frame in frames.values() for row in frame.values()]
        poses: dict[str, np.ndarray | None] = dict.fromkeys(
            row['ego_pose_token'] for row in (*rows, *scans.values())
        )
        for row in read_table(folder / 'ego_pose.json'):
            if row['token'] in poses:
                poses[row['token']] = pose_matrix(row['rotation'], row['translation'])
        records = []
        for token in sorted(samples, key=samples.get):
            missing = [c for c in ('LIDAR_TOP', *self.cameras) if c not in frames[token]]
            if missing:
                raise SampleError(f'{folder}: the key frame {token} has no {missing}')
            records.append(
                self._table_record(token, samples[token][0], frames[token], scans, sensors, poses)
            )
        return records

    def _table_record(self, token, scene, frame, scans, sensors, poses) -> dict:
        def to_world(row: dict) -> np.ndarray:
            pose = poses[row['ego_pose_token']]
            if pose is None:
                raise SampleError(f'ego_pose.json lacks the pose of {row["filename"]}')
            return pose @ sensors[row['calibrated_sensor_token']]['pose']

        key = frame['LIDAR_TOP']
        lidar2world = to_world(key)
        root = self.data_root
        images = [
            camera_record(
                os.path.join(root, frame[camera]['filename']),
                camera,
                sensors[frame[camera]['calibrated_sensor_token']]['cam2img'],
                np.linalg.inv(to_world(frame[camera])) @ lidar2world,
            )
            for camera in self.cameras
        ]
        sweeps, before = [], key['prev']
        while before in scans and len(sweeps) < self.num_sweeps:
            row = scans[before]
            sweeps.append(
                dict(
                    lidar_path=os.path.join(root, row['filename']),
                    num_pts_feats=self.num_pts_feats,
                    to_key=np.linalg.inv(lidar2world) @ to_world(row),
                    time=(key['timestamp'] - row['timestamp']) / 1e6,
                )
            )
            before = row['prev']
        return dict(
            sample_id=token,
            scene=scene,
            lidar_path=os.path.join(root, key['filename']),
            images=images,
            sweeps=sweeps,
        )


def _numbers(runs: str) -> set[int]:
    """{1, 2, 3, 7} of '1-3 7'."""
    found = set()
    for run in runs.split():
        first, _, last = run.partition('-')
        found.update(range(int(first), int(last or first) + 1))
    return found


def pose_matrix(quaternion: Sequence[float], translation: Sequence[float]) -> np.ndarray:
    """The (4, 4) matrix of a rotation (w, x, y, z), scaled to length 1, and a translation.

    Raises:
        SampleError: for a quaternion of length 0 or a wrong number of values.
    """
    quaternion = np.asarray(quaternion, np.float64)
    length = np.linalg.norm(quaternion)
    if quaternion.shape != (4,) or len(translation) != 3 or not length > 0:
        raise SampleError(f'no pose: rotation {quaternion}, translation {translation}')
    w, x, y, z = quaternion / length
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = translation
    return matrix


# characters; rows of the published tables have some hundred
LONGEST_ROW = 1 << 16


def read_table(path: str | os.PathLike, chunk: int = 1 << 20) -> Iterator[dict]:
    """The rows of a table, a JSON array of objects, one after another.

    ``sample_data.json`` of the complete set has more than a gigabyte: it is never held whole.

    Args:
        path: the file.
        chunk: characters that are read at a time.

    Raises:
        SampleError: for a missing, truncated or other file, at once where a row is broken.
    """
    decoder, buffer, place, end = json.JSONDecoder(), '', 0, False
    try:
        with open(path, encoding='utf-8') as file:
            buffer = file.read(chunk).lstrip()
            if not buffer.startswith('['):
                raise SampleError(f'{path}: is no table of nuScenes, it does not start with [')
            place = 1
            while True:
                while place < len(buffer) and buffer[place] in ' \t\r\n,':
                    place += 1
                if buffer.startswith(']', place):
                    return
                try:
                    row, place = decoder.raw_decode(buffer, place)
                except json.JSONDecodeError as error:
                    # a row that goes on beyond the buffer, unless that is longer than any row
                    if end or len(buffer) - place > LONGEST_ROW + chunk:
                        raise SampleError(f'{path}: truncated or broken ({error})') from error
                    text = file.read(chunk)
                    end = not text
                    buffer, place = buffer[place:] + text, 0
                else:
                    yield row
    except (OSError, UnicodeDecodeError) as error:
        raise SampleError(f'{path}: cannot read the table ({error})') from error
