"""Waymo in the KITTI-like form that mmdet3d's converter writes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .io import SampleError, missing_root_error
from .kitti_infos import read_calibration
from .pairs import BasePairs, camera_record, list_files, list_pictures

CAMERAS = ('CAM_FRONT', 'CAM_FRONT_LEFT', 'CAM_FRONT_RIGHT', 'CAM_SIDE_LEFT', 'CAM_SIDE_RIGHT')
LAYOUT = """  <data_root>/training/image_{0..4}/<abbbccc>.jpg    a: 0 train, 1 val; b: segment
  <data_root>/training/velodyne/<abbbccc>.bin
  <data_root>/training/calib/<abbbccc>.txt            P0..P4, R0_rect, Tr_velo_to_cam_0..4
  or <data_root>/waymo_infos_{train,val}.pkl of mmdet3d in place of calib"""
SOURCE = 'waymo.com/open, converted by mmdet3d (create_data.py waymo); non-commercial'


@DATASETS.register_module()
class WaymoPairs(BasePairs):
    """Frames of Waymo after the KITTI-like conversion of mmdet3d; labels are not read.

    Frame: x forward, y left, z up. Points: x, y, z, intensity, elongation and the number of the
    laser beam's pixel; the intensity has no upper limit, its tanh is taken. A scene is a segment:
    the first four digits of a frame's name.

    SimIPU reads the front camera with P0 and every fifth frame: ``interval=5``. Its "1/10 Waymo"
    are the first scenes: ``scene_share=0.1, scene_seed=None`` beside it.

    ``data_prefix``: ``img`` (``<part>/image_{camera}``, with the camera's number 0 to 4), ``pts``
    (``<part>/velodyne``) and ``calib`` (``<part>/calib``), where ``<part>`` is 'testing' for the
    split 'test' and else 'training'.

    Args:
        data_root: the folder ``kitti_format``.
        split: 'train' (names that begin with 0), 'val' (1), 'trainval' or 'test'. It chooses frames
            of the folders, from the list in ``ImageSets`` where there is one; an info file is read
            whole.
        cameras: of the five, in any order; default 'CAM_FRONT'.
        **kwargs: see :class:`~mm3dpretrain.datasets.pairs.BasePairs`.

    Raises:
        ValueError: for another split.
    """

    METAINFO = dict(lidar_frame='x forward, y left, z up', normalization='metric')
    CAMERAS = CAMERAS
    DEFAULT_CAMERAS = ('CAM_FRONT',)
    NUM_PTS_FEATS = 6
    INTENSITY_SCALE = 'tanh'
    DATA_PREFIX = dict(img='', pts='', calib='')
    #: first digit of the names in a split
    DIGITS = dict(train='0', val='1', trainval='01', test='2')

    def __init__(
        self, data_root: str = 'data/waymo/kitti_format', split: str = 'train', **kwargs
    ) -> None:
        if split not in self.DIGITS:
            raise ValueError(f'WaymoPairs: split must be of {list(self.DIGITS)}, got {split!r}')
        part = 'testing' if split == 'test' else 'training'
        prefix = dict(img=f'{part}/image_{{camera}}', pts=f'{part}/velodyne', calib=f'{part}/calib')
        prefix.update(kwargs.pop('data_prefix', None) or {})
        super().__init__(data_root=data_root, split=split, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each frame of the split or the info file."""
        if self.ann_file:
            return self.records_of_infos()
        folders = {camera: Path(self._picture_folder(camera)) for camera in self.cameras}
        points, calib = Path(self.data_prefix['pts']), Path(self.data_prefix['calib'])
        try:
            pictures = {camera: list_pictures(folder) for camera, folder in folders.items()}
            scans, calibrations = list_files(points, ['.bin']), list_files(calib, ['.txt'])
        except FileNotFoundError as error:
            raise missing_root_error(
                f'WaymoPairs: {error}', self.data_root, LAYOUT, SOURCE
            ) from None
        files = {str(folder): pictures[camera] for camera, folder in folders.items()}
        files.update({str(points): scans, str(calib): calibrations})
        path = Path(self.data_root) / 'ImageSets' / f'{self.split}.txt'
        if path.is_file():
            wanted = path.read_text().split()
        else:
            digits = tuple(self.DIGITS[self.split])
            wanted = sorted(n for n in set().union(*files.values()) if n.startswith(digits))
        return [
            dict(
                sample_id=name,
                scene=name[:4],
                lidar_path=str(points / scans[name]),
                calib_path=str(calib / calibrations[name]),
                img_paths=[str(folders[c] / pictures[c][name]) for c in self.cameras],
            )
            for name in self.keep_complete(files, wanted)
        ]

    def _picture_folder(self, camera: str) -> str:
        return self.data_prefix['img'].format(camera=CAMERAS.index(camera))

    def _from_info(self, info: dict) -> dict:
        name = f'{int(info["sample_idx"]):07d}'
        images = []
        for camera in self.cameras:
            if camera not in info['images']:
                raise SampleError(f'{self.ann_file}: the frame {name} has no {camera}')
            image = info['images'][camera]
            path = os.path.join(self._picture_folder(camera), image['img_path'])
            images.append(camera_record(path, camera, image['cam2img'], image['lidar2cam']))
        lidar = info['lidar_points']
        return dict(
            sample_id=name,
            scene=name[:4],
            lidar_path=os.path.join(self.data_prefix['pts'], lidar['lidar_path']),
            num_pts_feats=lidar.get('num_pts_feats', self.num_pts_feats),
            images=images,
        )

    def complete_record(self, record: dict) -> dict:
        """Add ``images`` from the frame's calibration file."""
        if 'images' in record:
            return record
        path, pictures = record.pop('calib_path'), record.pop('img_paths')
        numbers = [CAMERAS.index(camera) for camera in self.cameras]
        wanted = [f'P{k}' for k in numbers] + [f'Tr_velo_to_cam_{k}' for k in numbers]
        matrices = read_calibration(path, wanted)
        rectify = matrices.get('R0_rect', np.eye(4))
        record['images'] = [
            camera_record(
                picture, camera, matrices[f'P{k}'], rectify @ matrices[f'Tr_velo_to_cam_{k}']
            )
            for picture, camera, k in zip(pictures, self.cameras, numbers)
        ]
        return record
