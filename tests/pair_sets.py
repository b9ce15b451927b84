"""Tiny pair sets in the layouts of KITTI, Waymo and nuScenes, written into a test's folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (40, 120)  # of the pictures
#: x forward, y left, z up -> x right, y down, z forward
AXES = np.array([[0.0, -1, 0, 0.02], [0, 0, -1, -0.08], [1, 0, 0, -0.27]])
P2 = np.array([[60.0, 0, 60, 4], [0, 60, 20, 0.2], [0, 0, 1, 0.003]])


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """MMEngine collects garbage whenever a data set is made: most of the time of these tests."""
    monkeypatch.setattr('mmengine.dataset.base_dataset.gc.collect', lambda: 0)


def write_lidar(path: Path, seed: int, width: int = 4, num: int = 300, peak: float = 1.0) -> None:
    """Points in front of the car; column 3 in [0, peak]."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([2, -6, -1.5], [30, 6, 0.8], (num, 3))
    extra = rng.uniform(0, peak, (num, width - 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.hstack([points, extra]).astype('<f4').tofile(path)


def write_picture(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    """Noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def calibration_text(**matrices: np.ndarray) -> str:
    """The text of a calibration file."""
    return ''.join(f'{k}: {" ".join(f"{v:.9e}" for v in m.ravel())}\n' for k, m in matrices.items())


def write_kitti(root: Path, num: int = 6, split: str | None = 'train', part='training') -> Path:
    """KITTI's object layout; without a list if ``split`` is None."""
    folder = root / part
    for i in range(num):
        name = f'{i:06d}'
        write_picture(folder / 'image_2' / f'{name}.png', i)
        write_lidar(folder / 'velodyne' / f'{name}.bin', i)
        path = folder / 'calib' / f'{name}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            calibration_text(P0=P2, P1=P2, P2=P2, P3=P2, R0_rect=np.eye(3), Tr_velo_to_cam=AXES)
        )
    if split is not None:
        path = root / 'ImageSets' / f'{split}.txt'
        path.parent.mkdir(exist_ok=True)
        path.write_text(''.join(f'{i:06d}\n' for i in range(num)))
    return root


def write_kitti_raw(root: Path, drives: int = 2, frames: int = 3) -> Path:
    """Raw drives of one day; the last drive lacks its last scan."""
    day = root / '2011_09_26'
    for d in range(drives):
        drive = day / f'2011_09_26_drive_{d:04d}_sync'
        for i in range(frames):
            write_picture(drive / 'image_02' / 'data' / f'{i:010d}.png', i)
            if d < drives - 1 or i < frames - 1:
                write_lidar(drive / 'velodyne_points' / 'data' / f'{i:010d}.bin', i)
    lines = {f'P_rect_0{k}': P2 for k in range(4)}
    text = 'calib_time: 09-Jan-2012 13:57:47\n' + calibration_text(R_rect_00=np.eye(3), **lines)
    (day / 'calib_cam_to_cam.txt').write_text(text)
    text = 'calib_time: 15-Mar-2012 11:37:16\n'
    text += calibration_text(R=AXES[:, :3], T=AXES[:, 3], delta_f=np.zeros(2))
    (day / 'calib_velo_to_cam.txt').write_text(text)
    return root


def write_waymo(root: Path, segments: int = 3, frames: int = 4, val: int = 1) -> Path:
    """mmdet3d's KITTI-like form: training segments, then validation ones; two cameras."""
    folder = root / 'training'
    names = [f'0{s:03d}{f:03d}' for s in range(segments) for f in range(frames)]
    names += [f'1{s:03d}{f:03d}' for s in range(val) for f in range(frames)]
    for i, name in enumerate(names):
        for k in range(2):
            # the side cameras are less high
            write_picture(folder / f'image_{k}' / f'{name}.jpg', i + 50 * k, (SIZE[0] - 8 * k, 120))
        write_lidar(folder / 'velodyne' / f'{name}.bin', i, width=6, peak=3.0)
        path = folder / 'calib' / f'{name}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = {f'P{k}': P2 + k for k in range(5)}
        lines['R0_rect'] = np.eye(3)
        lines.update({f'Tr_velo_to_cam_{k}': AXES for k in range(5)})
        path.write_text(calibration_text(**lines))
    return root


def write_nuscenes(root: Path, version: str = 'v1.0-trainval') -> Path:
    """Two scenes, 61 (train) and 3 (val), of two key frames with a scan between them.

    The car drives 1 m in +x of the world between the scans of LIDAR_TOP, which stands 1 m before
    and 2 m above the middle of the car without being turned.
    """
    folder = root / version
    folder.mkdir(parents=True)
    channels = ('LIDAR_TOP', 'CAM_FRONT')
    tables = {name: [] for name in ('scene', 'sample', 'sensor', 'sample_data', 'ego_pose')}
    tables['calibrated_sensor'] = []
    for channel in (*channels, 'RADAR_FRONT'):
        tables['sensor'].append(dict(token=f's-{channel}', channel=channel, modality='x'))
        camera = channel == 'CAM_FRONT'
        tables['calibrated_sensor'].append(
            dict(
                token=f'c-{channel}',
                sensor_token=f's-{channel}',
                translation=[1.7, 0.0, 1.5] if camera else [1.0, 0.0, 2.0],
                # z forward, x right, y down
                rotation=[0.5, -0.5, 0.5, -0.5] if camera else [1.0, 0.0, 0.0, 0.0],
                camera_intrinsic=P2[:, :3].tolist() if camera else [],
            )
        )
    for number in (61, 3):
        scene = f'scene-{number:04d}'
        tables['scene'].append(dict(token=f't-{scene}', name=scene, description='a "b" ]'))
        before = ''
        for step in range(3):  # the second is a sweep
            key, stamp = step != 1, 1_000_000 * number + 50_000 * step
            sample = f'{scene}/{0 if step == 0 else 2}'
            if key:
                tables['sample'].append(
                    dict(token=sample, timestamp=stamp, scene_token=f't-{scene}')
                )
            pose = f'p-{scene}-{step}'
            tables['ego_pose'].append(
                dict(token=pose, translation=[float(step), 0.0, 0.0], rotation=[1.0, 0, 0, 0])
            )
            for channel in ('LIDAR_TOP', 'CAM_FRONT', 'RADAR_FRONT'):
                if not key and channel != 'LIDAR_TOP':
                    continue
                kind = 'samples' if key else 'sweeps'
                suffix = 'jpg' if channel.startswith('CAM') else 'pcd.bin'
                name = f'{kind}/{channel}/n-{scene}__{channel}__{stamp}.{suffix}'
                token = f'd-{scene}-{step}-{channel}'
                tables['sample_data'].append(
                    dict(
                        token=token,
                        sample_token=sample,
                        ego_pose_token=pose,
                        calibrated_sensor_token=f'c-{channel}',
                        timestamp=stamp,
                        is_key_frame=key,
                        filename=name,
                        prev=before if channel == 'LIDAR_TOP' else '',
                    )
                )
                if channel == 'LIDAR_TOP':
                    write_lidar(root / name, step, width=5, peak=255.0)
                elif channel == 'CAM_FRONT':
                    write_picture(root / name, step)
            before = f'd-{scene}-{step}-LIDAR_TOP'
    for name, rows in tables.items():
        (folder / f'{name}.json').write_text(json.dumps(rows, indent=0))
    return root
