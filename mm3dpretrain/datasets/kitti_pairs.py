"""Pairs of KITTI: the object set, the raw drives, and whatever has their layout."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .io import SampleError, missing_root_error
from .kitti_infos import read_calibration
from .pairs import BasePairs, as_square, camera_record, list_files, list_pictures

CAMERAS = ('CAM0', 'CAM1', 'CAM2', 'CAM3')
OBJECT_LAYOUT = """  <data_root>/ImageSets/{train,val,trainval,test}.txt            lists, optional
  <data_root>/{training,testing}/image_2/<id>.png (or .jpg)      image_3 for CAM3
  <data_root>/{training,testing}/calib/<id>.txt
  <data_root>/{training,testing}/velodyne/<id>.bin               or velodyne_reduced"""
RAW_LAYOUT = """  <data_root>/<date>/calib_cam_to_cam.txt, calib_velo_to_cam.txt
  <data_root>/<date>/<date>_drive_<number>_sync/image_02/data/<id>.png
  <data_root>/<date>/<date>_drive_<number>_sync/velodyne_points/data/<id>.bin"""
SOURCE = 'the KITTI Vision Benchmark Suite (cvlibs.net); non-commercial, CC BY-NC-SA 3.0'


@DATASETS.register_module()
class KittiPairs(BasePairs):
    """The object detection set of KITTI, or any folder with its layout; labels are not read.

    Frame: x forward, y left, z up. Points: x, y, z, reflectance in [0, 1]. The calibration of a
    frame is read when the frame is used. Of the drives that the frames come from nothing is known
    here, so every frame counts as its own scene.

    ``data_prefix``: ``img`` (default ``<part>/image_{camera}``, with the camera's number), ``pts``
    (``<part>/velodyne_reduced`` if that exists, else ``<part>/velodyne``) and ``calib``
    (``<part>/calib``), where ``<part>`` is 'testing' for the split 'test' and else 'training'.

    Args:
        data_root: folder of the set.
        split: list in ``ImageSets``; without that file all frames of 'training' ('testing' for
            'test') that have a picture, a scan and a calibration.
        cameras: of 'CAM0' to 'CAM3'; default the left colour camera 'CAM2'.
        **kwargs: see :class:`~mm3dpretrain.datasets.pairs.BasePairs`.
    """

    METAINFO = dict(lidar_frame='x forward, y left, z up', normalization='metric')
    CAMERAS = CAMERAS
    DEFAULT_CAMERAS = ('CAM2',)
    DATA_PREFIX = dict(img='', pts='', calib='')

    def __init__(self, data_root: str = 'data/kitti', split: str = 'train', **kwargs) -> None:
        part = 'testing' if split == 'test' else 'training'
        reduced = Path(data_root) / part / 'velodyne_reduced'
        prefix = dict(
            img=f'{part}/image_{{camera}}',
            pts=f'{part}/velodyne_reduced' if reduced.is_dir() else f'{part}/velodyne',
            calib=f'{part}/calib',
        )
        prefix.update(kwargs.pop('data_prefix', None) or {})
        super().__init__(data_root=data_root, split=split, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each frame of the list or the info file."""
        if self.ann_file:
            return self.records_of_infos()
        folders = {camera: Path(self._picture_folder(camera)) for camera in self.cameras}
        points, calib = Path(self.data_prefix['pts']), Path(self.data_prefix['calib'])
        try:
            pictures = {camera: list_pictures(folder) for camera, folder in folders.items()}
            scans, calibrations = list_files(points, ['.bin']), list_files(calib, ['.txt'])
        except FileNotFoundError as error:
            raise missing_root_error(
                f'KittiPairs: {error}', self.data_root, OBJECT_LAYOUT, SOURCE
            ) from None
        files = {str(folder): pictures[camera] for camera, folder in folders.items()}
        files.update({str(points): scans, str(calib): calibrations})
        path = Path(self.data_root) / 'ImageSets' / f'{self.split}.txt'
        wanted = path.read_text().split() if path.is_file() else None
        if wanted is None and self.split not in ('train', 'test'):
            raise FileNotFoundError(
                f"KittiPairs: no list {path}; take split 'train' or 'test' for all frames"
            )
        return [
            dict(
                sample_id=name,
                scene=name,
                lidar_path=str(points / scans[name]),
                calib_path=str(calib / calibrations[name]),
                img_paths=[str(folders[c] / pictures[c][name]) for c in self.cameras],
            )
            for name in self.keep_complete(files, wanted)
        ]

    def _picture_folder(self, camera: str) -> str:
        return self.data_prefix['img'].format(camera=camera[-1])

    def _from_info(self, info: dict) -> dict:
        lidar, images = info['lidar_points'], info['images']
        name = Path(lidar['lidar_path']).stem
        if 'lidar2cam' in images.get('CAM2', {}):
            lidar2cam = images['CAM2']['lidar2cam']
        else:
            lidar2cam = as_square(images['R0_rect']) @ as_square(lidar['Tr_velo_to_cam'])
        file = images['CAM2']['img_path']
        records = []
        for camera in self.cameras:
            # the file names of all cameras are the same; info files have that of CAM2 only
            path = Path(self._picture_folder(camera)) / images[camera].get('img_path', file)
            records.append(camera_record(str(path), camera, images[camera]['cam2img'], lidar2cam))
        return dict(
            sample_id=name,
            scene=name,
            lidar_path=str(Path(self.data_prefix['pts']) / lidar['lidar_path']),
            num_pts_feats=lidar.get('num_pts_feats', self.num_pts_feats),
            images=records,
        )

    def complete_record(self, record: dict) -> dict:
        """Add ``images`` from the frame's calibration file."""
        if 'images' in record:
            return record
        pictures = dict(zip(self.cameras, record.pop('img_paths')))
        record['images'] = calibrated_images(record.pop('calib_path'), pictures)
        return record


@DATASETS.register_module()
class KittiRawPairs(BasePairs):
    """Raw drives of KITTI, synchronised and rectified; a scene is a drive.

    Frame and points as in :class:`KittiPairs`. Pictures without a scan are left out with a warning
    (the official drive 2011_09_26_0009 has four).

    Args:
        data_root: folder of the dates.
        split: not used to choose anything, a name; choose drives with ``scenes``.
        cameras: of 'CAM0' to 'CAM3'; default 'CAM2'.
        **kwargs: see :class:`~mm3dpretrain.datasets.pairs.BasePairs`.
    """

    METAINFO = dict(lidar_frame='x forward, y left, z up', normalization='metric')
    CAMERAS = CAMERAS
    DEFAULT_CAMERAS = ('CAM2',)

    def __init__(self, data_root: str = 'data/kitti_raw', split: str = 'train', **kwargs) -> None:
        if kwargs.get('ann_file'):
            raise ValueError('KittiRawPairs reads folders, there are no info files of raw drives')
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each frame of every drive."""
        drives = sorted(Path(self.data_root).glob('*/*_drive_*_sync'))
        if not drives:
            raise missing_root_error('KittiRawPairs', self.data_root, RAW_LAYOUT, SOURCE)
        records, calibrations = [], {}
        for drive in drives:
            date = drive.parent
            if date not in calibrations:
                calibrations[date] = read_raw_calibration(date)
            records += self._drive(drive, calibrations[date])
        return records

    def _drive(self, drive: Path, matrices: dict[str, np.ndarray]) -> list[dict]:
        folders = {camera: drive / f'image_0{camera[-1]}' / 'data' for camera in self.cameras}
        points = drive / 'velodyne_points' / 'data'
        pictures = {camera: list_pictures(folder) for camera, folder in folders.items()}
        scans = list_files(points, ['.bin'])
        files = {str(folders[camera]): pictures[camera] for camera in self.cameras}
        files[str(points)] = scans
        lidar2cam = matrices['R_rect_00'] @ matrices['velo_to_cam']
        return [
            dict(
                sample_id=f'{drive.name}/{name}',
                scene=drive.name,
                lidar_path=str(points / scans[name]),
                images=[
                    camera_record(
                        str(folders[camera] / pictures[camera][name]),
                        camera,
                        matrices[f'P_rect_0{camera[-1]}'],
                        lidar2cam,
                    )
                    for camera in self.cameras
                ],
            )
            for name in self.keep_complete(files, None)
        ]


def calibrated_images(calib_path: str | os.PathLike, pictures: Mapping[str, str]) -> list[dict]:
    """Entries of ``images`` of a frame of the object set, see :class:`~.pairs.BasePairs`.

    Args:
        calib_path: its calibration file.
        pictures: camera ('CAM0' to 'CAM3') -> picture.

    Raises:
        SampleError: for a broken calibration file.
    """
    names = {camera: f'P{camera[-1]}' for camera in pictures}
    matrices = read_calibration(calib_path, (*names.values(), 'R0_rect', 'Tr_velo_to_cam'))
    lidar2cam = matrices['R0_rect'] @ matrices['Tr_velo_to_cam']
    return [
        camera_record(picture, camera, matrices[names[camera]], lidar2cam)
        for camera, picture in pictures.items()
    ]


def read_raw_calibration(folder: Path) -> dict[str, np.ndarray]:
    """Matrices of a day of raw drives as float64 (4, 4).

    Args:
        folder: with ``calib_cam_to_cam.txt`` and ``calib_velo_to_cam.txt``.

    Returns:
        ``P_rect_00`` to ``P_rect_03``, ``R_rect_00`` and ``velo_to_cam``.

    Raises:
        SampleError: for a missing file or matrix.
    """
    matrices = {}
    shapes = {12: (3, 4), 9: (3, 3)}
    wanted = [f'P_rect_0{k}' for k in range(4)] + ['R_rect_00']
    cameras = _read_numbers(folder / 'calib_cam_to_cam.txt', wanted)
    for name in wanted:
        shape = shapes.get(len(cameras[name]))
        if shape is None:
            raise SampleError(f'{folder}/calib_cam_to_cam.txt: {name} has {len(cameras[name])}')
        matrices[name] = as_square(np.reshape(cameras[name], shape))
    lidar = _read_numbers(folder / 'calib_velo_to_cam.txt', ['R', 'T'])
    if (len(lidar['R']), len(lidar['T'])) != (9, 3):
        raise SampleError(f'{folder}/calib_velo_to_cam.txt: R and T need 9 and 3 numbers')
    matrices['velo_to_cam'] = as_square(np.c_[np.reshape(lidar['R'], (3, 3)), lidar['T']])
    return matrices


def _read_numbers(path: Path, wanted: list[str]) -> dict[str, list[float]]:
    try:
        text = path.read_text()
    except OSError as error:
        raise SampleError(f'{path}: cannot read the calibration ({error})') from error
    found = {}
    for name in wanted:
        match = re.search(rf'^{name}:(.*)$', text, re.MULTILINE)
        if match is None:
            raise SampleError(f'{path}: lacks {name!r}')
        try:
            found[name] = [float(word) for word in match.group(1).split()]
        except ValueError as error:
            raise SampleError(f'{path}: {name!r} is no matrix ({error})') from error
    return found
