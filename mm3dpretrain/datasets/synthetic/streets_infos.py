"""Info files of mmdet3d 1.4 for synthetic streets, as its KITTI converter writes them."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.streets_labels import (
    KITTI_CLASSES,
    Calibration,
    Label,
    box_corners,
    lidar_box,
    project_box,
)


def difficulty(label: Label) -> int:
    """KITTI's difficulty: 0 easy, 1 moderate, 2 hard, -1 none of them."""
    height = label.bbox[3] - label.bbox[1]
    limits = ((40, 0, 0.15), (25, 1, 0.3), (25, 2, 0.5))
    fits = [
        height > least and label.occluded <= hidden and label.truncated <= cut
        for least, hidden, cut in limits
    ]
    if fits[0]:
        return 0
    if fits[1]:
        return 1
    return 2 if fits[2] else -1


def points_in_box(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which of the points (N, 3+) lie in a LiDAR box (7,) of :func:`lidar_box`."""
    local = points[:, :3].astype(np.float64) - box[:3]
    c, s = np.cos(box[6]), np.sin(box[6])
    along, across = local[:, 0] * c + local[:, 1] * s, local[:, 1] * c - local[:, 0] * s
    inside = (np.abs(along) <= box[3] / 2) & (np.abs(across) <= box[4] / 2)
    return inside & (local[:, 2] >= 0) & (local[:, 2] <= box[5])


def in_picture(points: np.ndarray, calibration: Calibration, image_size) -> np.ndarray:
    """Which of the LiDAR points (N, 3+) camera 2 has in its picture of (H, W)."""
    uvz = calibration.project(points.astype(np.float64))
    u, v, z = uvz.T
    return (z > 0) & (u >= 0) & (u < image_size[1]) & (v >= 0) & (v < image_size[0])


def _center_2d(label: Label, calibration: Calibration) -> list[float]:
    """Projected middle of the box: u, v and depth."""
    middle = np.array(label.location) - (0, label.dimensions[0] / 2, 0)
    image = calibration.P2[:, :3] @ middle + calibration.P2[:, 3]
    return [*(image[:2] / image[2]).tolist(), float(image[2])]


def _bbox_3d(label: Label) -> list[float]:
    height, width, length = label.dimensions
    return [*label.location, length, height, width, label.rotation_y]


def _instance(label: Label, number: int, calibration: Calibration, points: np.ndarray) -> dict:
    known = label.name in KITTI_CLASSES
    *center, depth = _center_2d(label, calibration)
    kind = KITTI_CLASSES.index(label.name) if known else -1
    inside = points_in_box(points, lidar_box(label, calibration)).sum() if known else -1
    return dict(
        bbox=list(label.bbox),
        bbox_label=kind,
        bbox_3d=_bbox_3d(label),
        bbox_label_3d=kind,
        depth=depth,
        center_2d=center,
        num_lidar_pts=int(inside),
        truncated=label.truncated,
        occluded=label.occluded,
        alpha=label.alpha,
        score=0.0,
        index=number if known else -1,
        group_id=number,
        difficulty=difficulty(label),
    )


def _camera_instance(label: Label, calibration: Calibration, image_size) -> dict | None:
    """What the monocular detectors read: the box cut to the picture, the middle and its depth."""
    corners = box_corners(label.location, label.dimensions, label.rotation_y)
    box = project_box(corners, calibration.P2, image_size[1], image_size[0])
    *center, depth = _center_2d(label, calibration)
    if box is None or depth <= 0:
        return None
    kind = KITTI_CLASSES.index(label.name)
    return dict(
        bbox_label=kind,
        bbox_label_3d=kind,
        bbox=box.tolist(),
        bbox_3d_isvalid=True,
        bbox_3d=_bbox_3d(label),
        velocity=-1,
        center_2d=center,
        depth=depth,
    )


def frame_info(
    number: int,
    name: str,
    image_size: tuple[int, int],
    calibration: Calibration,
    labels: list[Label],
    points: np.ndarray,
) -> dict:
    """One entry of ``data_list`` of ``kitti_infos_*.pkl`` (version 1.1).

    Args:
        number: ``sample_idx``.
        name: six digits, the stem of the frame's files.
        image_size: (H, W).
        calibration: of the sensors.
        labels: of the frame.
        points: (N, 4) LiDAR points in the picture, which are counted in the boxes.
    """
    extend = Calibration.extend
    to_rect = calibration.lidar_to_rect
    images = {}
    for camera in range(4):
        matrix = extend(getattr(calibration, f'P{camera}'))
        entry = dict(cam2img=matrix.tolist(), lidar2img=(matrix @ to_rect).tolist())
        if camera == 2:
            entry.update(img_path=f'{name}.png', height=image_size[0], width=image_size[1])
            entry['lidar2cam'] = to_rect.tolist()
        images[f'CAM{camera}'] = entry
    images['R0_rect'] = extend(calibration.R0_rect).tolist()
    known = [label for label in labels if label.name in KITTI_CLASSES]
    seen = [_camera_instance(label, calibration, image_size) for label in known]
    return dict(
        sample_idx=number,
        images=images,
        lidar_points=dict(
            num_pts_feats=4,
            lidar_path=f'{name}.bin',
            Tr_velo_to_cam=extend(calibration.Tr_velo_to_cam).tolist(),
            Tr_imu_to_velo=extend(calibration.Tr_imu_to_velo).tolist(),
        ),
        instances=[_instance(label, n, calibration, points) for n, label in enumerate(labels)],
        cam_instances=dict(CAM2=[instance for instance in seen if instance is not None]),
    )
