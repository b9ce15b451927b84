"""The info files of mmdet3d 1.4 from a folder in KITTI's layout.

The same entries as mmdet3d's own converter writes, which is a script beside its package. One
figure differs a little: ``num_lidar_pts`` counts in the box as it is labelled, in the camera frame,
and not in an upright copy of it in the LiDAR frame.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .io import SampleError, atomic_path

CLASSES = ('Pedestrian', 'Cyclist', 'Car', 'Van', 'Truck', 'Person_sitting', 'Tram', 'Misc')
# KITTI's levels easy, moderate, hard: height of the 2D box in pixels more than, occlusion and
# truncation at most (devkit, section "Object Detection Evaluation")
MIN_HEIGHT = (40, 25, 25)
MAX_OCCLUSION = (0, 1, 2)
MAX_TRUNCATION = (0.15, 0.3, 0.5)


# of KITTI's calibration files: rectified camera to pixels, rectification, LiDAR to camera 0
CALIBRATION = ('P0', 'P1', 'P2', 'P3', 'R0_rect', 'Tr_velo_to_cam')


def read_calibration(
    path: str | os.PathLike, wanted: Sequence[str] = CALIBRATION
) -> dict[str, np.ndarray]:
    """Matrices of a calibration file as float64 (4, 4).

    Args:
        path: lines such as ``P2: 7.215e+02 0 ...`` with 9 (3 x 3) or 12 (3 x 4) numbers.
        wanted: what the file must have.

    Returns:
        All matrices of the file by name, ``wanted`` and what else there is
        (``Tr_imu_to_velo``).

    Raises:
        SampleError: for a missing file, a missing matrix, or a line that has not the right count
            of numbers.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise SampleError(f'{path}: cannot read the file ({error})') from error
    matrices = {}
    for line in filter(str.strip, lines):
        name, _, text = line.partition(':')
        try:
            values = np.array(text.split(), dtype=np.float64)
            matrix = np.eye(4)
            if values.size == 9:
                matrix[:3, :3] = values.reshape(3, 3)
            else:
                matrix[:3] = values.reshape(3, 4)
        except ValueError as error:
            raise SampleError(f'{path}: the line {name!r} is no matrix ({error})') from error
        matrices[name.strip()] = matrix
    missing = [name for name in wanted if name not in matrices]
    if missing:
        raise SampleError(f'{path}: lacks {missing}, it has {sorted(matrices)}')
    return matrices


def read_labels(path: str | os.PathLike) -> list[dict]:
    """Objects of a label file.

    Returns:
        For each line ``name``, ``truncated``, ``occluded`` (int), ``alpha``, ``bbox`` (4,) pixels,
        ``dimensions`` (l, h, w) and ``location`` of the bottom's centre in metres of the rectified
        camera, ``rotation_y``.

    Raises:
        SampleError: naming file and line, for a missing file or a broken line.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise SampleError(f'{path}: cannot read the file ({error})') from error
    objects = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *texts = line.split()
        try:
            values = np.array(texts, dtype=np.float64)
            truncated, occluded, alpha, *rest = values[:14]
            height, width, length = rest[4:7]
        except ValueError as error:
            raise SampleError(f'{path}, line {number} is no KITTI label ({error})') from error
        objects.append(
            dict(
                name=name,
                truncated=float(truncated),
                occluded=int(occluded),
                alpha=float(alpha),
                bbox=values[3:7],
                dimensions=np.array([length, height, width]),
                location=values[10:13],
                rotation_y=float(values[13]),
            )
        )
    return objects


def difficulty(label: dict) -> int:
    """0, 1, 2 for easy, moderate, hard by KITTI's rules, -1 for what is not evaluated."""
    height = label['bbox'][3] - label['bbox'][1]
    for level in range(3):
        if (
            height > MIN_HEIGHT[level]
            and label['occluded'] <= MAX_OCCLUSION[level]
            and label['truncated'] <= MAX_TRUNCATION[level]
        ):
            return level
    return -1


def points_in_box(points: np.ndarray, label: dict) -> np.ndarray:
    """Bool (N,): which points (N, 3) of the rectified camera frame lie in the box of a label."""
    length, height, width = label['dimensions']
    x, y, z = (points - label['location']).T
    cos, sin = np.cos(label['rotation_y']), np.sin(label['rotation_y'])
    along, across = cos * x - sin * z, sin * x + cos * z
    inside = (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)
    return inside & (y <= 0) & (y >= -height)


def frame_info(root: str | os.PathLike, sample: str, labelled: bool = True) -> dict:
    """One entry of ``data_list`` for :class:`mmdet3d.datasets.KittiDataset`.

    Args:
        root: folder with ``training`` and, for frames without labels, ``testing``.
        sample: name of the frame, such as '000008'.
        labelled: read ``label_2`` of ``training``; else look into ``testing``.

    Raises:
        SampleError: naming the file, for missing or broken files.
    """
    folder = Path(root) / ('training' if labelled else 'testing')
    calibration = read_calibration(folder / 'calib' / f'{sample}.txt')
    lidar2cam = calibration['R0_rect'] @ calibration['Tr_velo_to_cam']
    images = {
        f'CAM{k}': dict(
            cam2img=calibration[f'P{k}'].tolist(),
            lidar2img=(calibration[f'P{k}'] @ lidar2cam).tolist(),
        )
        for k in range(4)
    }
    width, height = _image_size(folder / 'image_2', sample)
    images['CAM2'].update(
        img_path=f'{sample}.png', height=height, width=width, lidar2cam=lidar2cam.tolist()
    )
    images['R0_rect'] = calibration['R0_rect'].tolist()
    lidar = dict(
        num_pts_feats=4,
        lidar_path=f'{sample}.bin',
        Tr_velo_to_cam=calibration['Tr_velo_to_cam'].tolist(),
        Tr_imu_to_velo=calibration.get('Tr_imu_to_velo', np.eye(4)).tolist(),
    )
    info = dict(sample_idx=int(sample), images=images, lidar_points=lidar)
    if labelled:
        points = _points_in_camera(folder, sample, lidar2cam)
        labels = read_labels(folder / 'label_2' / f'{sample}.txt')
        info['instances'] = [
            _instance(label, number, points, calibration['P2'])
            for number, label in enumerate(labels)
        ]
        # what the monocular detectors read: the boxes as the camera sees them
        seen = [
            _camera_instance(instance, calibration['P2'], (width, height))
            for instance in info['instances']
            if instance['bbox_label'] >= 0 and instance['depth'] > 0
        ]
        info['cam_instances'] = {'CAM2': [instance for instance in seen if instance]}
    return info


def box_corners(box: list[float]) -> np.ndarray:
    """Corners (8, 3) of ``[x, y, z, l, h, w, ry]``, bottom centre first, in the camera frame."""
    x, y, z, length, height, width, angle = box
    unit = np.array([[i, j, k] for i in (-0.5, 0.5) for j in (-1.0, 0.0) for k in (-0.5, 0.5)])
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return unit * [length, height, width] @ rotation.T + [x, y, z]


def projected_box(
    box: list[float], cam2img: np.ndarray, image_size: tuple[int, int]
) -> list[float] | None:
    """Bounds of the part of a projected 3D box that lies in the picture.

    Args:
        box: ``[x, y, z, l, h, w, ry]`` in metres of the rectified camera, bottom centre.
        cam2img: (4, 4).
        image_size: (width, height) in pixels.

    Returns:
        ``[x1, y1, x2, y2]``, or None where no corner is in front of the camera or the convex hull
        of those that are misses the picture.
    """
    import cv2

    corners = box_corners(box)
    corners = corners[corners[:, 2] > 0]
    if not len(corners):
        return None
    pixels = np.c_[corners, np.ones(len(corners))] @ cam2img[:3].T
    hull = cv2.convexHull((pixels[:, :2] / pixels[:, 2:]).astype(np.float32))
    width, height = image_size
    canvas = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    area, part = cv2.intersectConvexConvex(hull, canvas)
    if area <= 0:
        return None
    part = part.reshape(-1, 2)
    return [*map(float, part.min(0)), *map(float, part.max(0))]


def _camera_instance(
    instance: dict, cam2img: np.ndarray, image_size: tuple[int, int]
) -> dict | None:
    bounds = projected_box(instance['bbox_3d'], cam2img, image_size)
    if bounds is None:
        return None
    shared = ('bbox_label', 'bbox_label_3d', 'bbox_3d', 'center_2d', 'depth')
    record = {key: instance[key] for key in shared}
    return dict(record, bbox=bounds, bbox_3d_isvalid=True, velocity=-1)


def _image_size(folder: Path, sample: str) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    path = folder / f'{sample}.png'
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise SampleError(f'{path}: cannot read the picture ({error})') from error


def _points_in_camera(folder: Path, sample: str, lidar2cam: np.ndarray) -> np.ndarray:
    """Points (N, 3) of the scan, in the rectified camera frame."""
    reduced = folder / 'velodyne_reduced' / f'{sample}.bin'
    path = reduced if reduced.is_file() else folder / 'velodyne' / f'{sample}.bin'
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SampleError(f'{path}: cannot read the scan ({error})') from error
    if not content or len(content) % 16:
        raise SampleError(
            f'{path}: {len(content)} bytes are no whole number of points (x, y, z, intensity as '
            'float32): the file is empty or truncated'
        )
    values = np.frombuffer(content, dtype='<f4')
    points = values.reshape(-1, 4)[:, :3].astype(np.float64)
    return points @ lidar2cam[:3, :3].T + lidar2cam[:3, 3]


def _instance(label: dict, number: int, points: np.ndarray, cam2img: np.ndarray) -> dict:
    known = label['name'] in CLASSES
    category = CLASSES.index(label['name']) if known else -1
    center = label['location'] - [0, label['dimensions'][1] / 2, 0]
    u, v, depth = cam2img[:3] @ np.append(center, 1.0)
    box = [*label['location'], *label['dimensions'], label['rotation_y']]
    return dict(
        bbox=label['bbox'].tolist(),
        bbox_label=category,
        bbox_3d=[float(value) for value in box],
        bbox_label_3d=category,
        center_2d=[float(u / depth), float(v / depth)],
        depth=float(depth),
        truncated=label['truncated'],
        occluded=label['occluded'],
        alpha=label['alpha'],
        score=0.0,
        index=number if label['name'] != 'DontCare' else -1,
        group_id=number,
        difficulty=difficulty(label),
        num_lidar_pts=int(points_in_box(points, label).sum()) if known else -1,
    )


def write_kitti_infos(
    root: str | os.PathLike, splits: tuple[str, ...] = (), prefix: str = 'kitti'
) -> dict[str, int]:
    """Write ``<prefix>_infos_<split>.pkl`` for the lists in ``ImageSets``.

    Args:
        root: folder in KITTI's layout.
        splits: names of the lists; default all that are there. 'test' has no labels.
        prefix: beginning of the file names.

    Returns:
        Number of frames by split.

    Raises:
        FileNotFoundError: if there is no list.
        SampleError: naming the file, for missing or broken files.
    """
    root = Path(root)
    lists = [root / 'ImageSets' / f'{split}.txt' for split in splits]
    lists = lists or sorted((root / 'ImageSets').glob('*.txt'))
    missing = [str(path) for path in lists if not path.is_file()]
    if missing or not lists:
        raise FileNotFoundError(
            f'no frame list {missing or str(root / "ImageSets")}: expected the layout of KITTI '
            '(ImageSets/<split>.txt, training/{calib,image_2,label_2,velodyne})'
        )
    counts, known = {}, {}
    for path in lists:
        samples, labelled = path.read_text().split(), path.stem != 'test'
        for sample in samples:
            if sample not in known:
                known[sample] = frame_info(root, sample, labelled)
        metainfo = dict(
            categories={**{name: i for i, name in enumerate(CLASSES)}, 'DontCare': -1},
            dataset='kitti',
            info_version='1.1',
        )
        content = dict(metainfo=metainfo, data_list=[known[sample] for sample in samples])
        with atomic_path(root / f'{prefix}_infos_{path.stem}.pkl') as temporary:
            temporary.write_bytes(pickle.dumps(content))
        counts[path.stem] = len(samples)
    return counts
