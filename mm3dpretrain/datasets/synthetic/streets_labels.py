"""Calibration and labels of synthetic streets, in the words of KITTI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mm3dpretrain.datasets.kitti_infos import box_corners
from mm3dpretrain.datasets.mesh_sampling import sample_mesh
from mm3dpretrain.datasets.synthetic.scene_mesh import SceneMesh
from mm3dpretrain.datasets.synthetic.scene_render import SceneViews
from mm3dpretrain.datasets.synthetic.streets import Street, StreetObject
from mm3dpretrain.ops.rasterize import rasterize_mesh
from mm3dpretrain.structures.cameras import Cameras

NEAR = 0.1  # metres: what is nearer does not count as seen
MIN_PIXELS = 12  # fewer visible ones: not labelled
MIN_HEIGHT = 10.0  # pixels of a 2D box; a smaller one is 'DontCare'
BOX_FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))


@dataclass(frozen=True)
class Calibration:
    """A KITTI calibration file. A LiDAR point X projects to ``P2 R0_rect Tr_velo_to_cam X``.

    Pixel coordinates are this project's: the centre of the top left pixel is (0.5, 0.5).

    Attributes:
        P0, P1, P2, P3: (3, 4) projections of the rectified cameras; 2 is the left colour camera,
            3 the right one.
        R0_rect: (3, 3) rotation into the rectified frame.
        Tr_velo_to_cam: (3, 4) LiDAR to camera 0.
        Tr_imu_to_velo: (3, 4).
    """

    P0: np.ndarray
    P1: np.ndarray
    P2: np.ndarray
    P3: np.ndarray
    R0_rect: np.ndarray
    Tr_velo_to_cam: np.ndarray
    Tr_imu_to_velo: np.ndarray

    def text(self) -> str:
        """The file's text."""
        lines = []
        for name in self.__dataclass_fields__:
            values = ' '.join(f'{value:.12e}' for value in getattr(self, name).ravel())
            lines.append(f'{name}: {values}\n')
        return ''.join(lines)

    @classmethod
    def parse(cls, text: str) -> Calibration:
        """The calibration of a file's text.

        Raises:
            ValueError: naming the matrix that is missing or has another number of values.
        """
        rows = dict(line.split(':', 1) for line in text.splitlines() if ':' in line)
        arrays = {}
        for name in cls.__dataclass_fields__:
            shape = (3, 3) if name == 'R0_rect' else (3, 4)
            values = np.array(rows.get(name, '').split(), dtype=np.float64)
            if values.size != shape[0] * shape[1]:
                raise ValueError(
                    f'calibration: {name} has {values.size} values, not {shape[0] * shape[1]}'
                )
            arrays[name] = values.reshape(shape)
        return cls(**arrays)

    @staticmethod
    def extend(matrix: np.ndarray) -> np.ndarray:
        """A (3, 3) or (3, 4) matrix as (4, 4)."""
        square = np.eye(4)
        square[: matrix.shape[0], : matrix.shape[1]] = matrix
        return square

    @property
    def lidar_to_rect(self) -> np.ndarray:
        """(4, 4) from the LiDAR to the rectified camera frame, that of the labels."""
        return self.extend(self.R0_rect) @ self.extend(self.Tr_velo_to_cam)

    def camera(self, number: int, image_size: tuple[int, int]) -> Cameras:
        """Camera ``number`` as a pinhole camera in the LiDAR frame."""
        projection = getattr(self, f'P{number}')
        shift = np.eye(4)
        shift[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
        extrinsics = torch.from_numpy(shift @ self.lidar_to_rect)[None, None]
        intrinsics = torch.from_numpy(projection[:, :3].copy())[None, None]
        return Cameras(extrinsics, intrinsics, image_size)

    def project(self, points: np.ndarray, number: int = 2) -> np.ndarray:
        """LiDAR points (N, 3+) as (N, 3): u, v in pixels and depth in metres."""
        local = points[:, :3] @ self.lidar_to_rect[:3, :3].T + self.lidar_to_rect[:3, 3]
        matrix = getattr(self, f'P{number}')
        image = local @ matrix[:, :3].T + matrix[:, 3]
        depth = image[:, 2]
        safe = np.where(np.abs(depth) > 1e-9, depth, 1e-9)
        return np.column_stack([image[:, :2] / safe[:, None], depth])


def draw_calibration(rng: np.random.Generator, image_size: tuple[int, int]) -> Calibration:
    """A calibration near KITTI's, its lens scaled to the width of the picture.

    The LiDAR stands upright on a level car; cameras are turned by a few tenths of a degree. The
    file's rounding is part of it.
    """
    height, width = image_size
    focal = 721.5377 * width / 1242 * rng.uniform(0.99, 1.01)
    center = (width * 0.4908 + rng.uniform(-3, 3), height * 0.461 + rng.uniform(-3, 3))
    cameras = []
    for baseline in (0.0, -0.537, 0.0622, -0.4706):
        matrix = np.zeros((3, 4))
        matrix[0, 0] = matrix[1, 1] = focal
        matrix[:2, 2] = center
        matrix[2, 2] = 1.0
        if baseline:
            offset = np.array([baseline, rng.normal(0, 3e-4), rng.normal(0, 3e-3)])
            matrix[:, 3] = matrix[:, :3] @ offset
        cameras.append(matrix)

    def small_turn(degrees: float) -> np.ndarray:
        from scipy.spatial.transform import Rotation

        angles = np.clip(rng.normal(0, degrees, 3), -2 * degrees, 2 * degrees)
        return Rotation.from_euler('xyz', angles, degrees=True).as_matrix()

    rectify = small_turn(0.25)
    axes = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    # what one turn takes away the other gives back, but for a tenth of a degree
    rotation = rectify.T @ small_turn(0.08) @ axes
    place = np.array([-0.004, -0.076, -0.272]) + rng.normal(0, 0.004, 3)
    imu = np.column_stack([small_turn(0.3), np.array([-0.8087, 0.3196, -0.7997])])
    calibration = Calibration(*cameras, rectify, np.column_stack([rotation, place]), imu)
    return Calibration.parse(calibration.text())


# --------------------------------------------------------------------------- boxes


def project_box(corners: np.ndarray, projection: np.ndarray, width: float, height: float):
    """The rectangle round that part of a box which lies in the picture.

    The faces of the box are cut at the near plane and at the edges of the picture, so a box that
    reaches behind the camera is right too.

    Args:
        corners: (8, 3) of :func:`mm3dpretrain.datasets.kitti_infos.box_corners`.
        projection: (3, 4).
        width: of the picture in pixels.
        height: of the picture.

    Returns:
        (left, top, right, bottom) float64 (4,), or None if nothing of it is in the picture.
    """
    image = corners @ projection[:, :3].T + projection[:, 3]
    planes = np.array(
        [[0, 0, 1, -NEAR], [1, 0, 0, 0], [-1, 0, width, 0], [0, 1, 0, 0], [0, -1, height, 0]],
        dtype=np.float64,
    )
    found = []
    for face in BOX_FACES:
        polygon = image[list(face)]
        for plane in planes:
            if not len(polygon):
                break
            # Sutherland and Hodgman, "Reentrant Polygon Clipping", 1974
            value = polygon @ plane[:3] + plane[3]
            kept = []
            for k in range(len(polygon)):
                n = (k + 1) % len(polygon)
                if value[k] >= 0:
                    kept.append(polygon[k])
                if (value[k] >= 0) != (value[n] >= 0):
                    t = value[k] / (value[k] - value[n])
                    kept.append(polygon[k] + t * (polygon[n] - polygon[k]))
            polygon = np.array(kept).reshape(-1, 3)
        if len(polygon):
            found.append(polygon[:, :2] / polygon[:, 2:])
    if not found:
        return None
    uv = np.concatenate(found)
    low = np.clip(uv.min(0), 0, (width, height))
    high = np.clip(uv.max(0), 0, (width, height))
    return np.array([*low, *high]) if np.all(high > low) else None


def wrap(angle: float) -> float:
    """An angle in [-pi, pi)."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


@dataclass(frozen=True)
class Label:
    """One line of a KITTI label file; ``index`` is the object's number in the scene."""

    name: str
    truncated: float
    occluded: int
    alpha: float
    bbox: tuple[float, float, float, float]
    dimensions: tuple[float, float, float]
    location: tuple[float, float, float]
    rotation_y: float
    index: int = -1

    def text(self) -> str:
        """The line; four decimals where KITTI has two."""
        numbers = (self.alpha, *self.bbox, *self.dimensions, *self.location, self.rotation_y)
        rounded = ' '.join(f'{number:.4f}' for number in numbers)
        return f'{self.name} {self.truncated:.2f} {self.occluded} {rounded}'

    @classmethod
    def parse(cls, line: str, index: int = -1) -> Label:
        """The label of a line."""
        words = line.split()
        v = [float(word) for word in words[3:15]]
        return cls(
            words[0],
            float(words[1]),
            int(words[2]),
            v[0],
            tuple(v[1:5]),
            tuple(v[5:8]),
            tuple(v[8:11]),
            v[11],
            index,
        )


def _inside_pixels(scene: SceneMesh, index: int, camera: Cameras, box: np.ndarray) -> int:
    """Pixels that an object would cover if nothing stood in front of it."""
    left, top = np.floor(box[:2]).astype(int)
    right, bottom = np.ceil(box[2:]).astype(int)
    intrinsics = camera.intrinsics.clone()
    intrinsics[..., 0, 2] -= left
    intrinsics[..., 1, 2] -= top
    size = (max(int(bottom - top), 1), max(int(right - left), 1))
    crop = Cameras(camera.extrinsics, intrinsics, size)
    mesh = scene.object_mesh(index)
    return int((rasterize_mesh(*mesh, crop, NEAR).face_index >= 0).sum())


def _label(
    street: Street,
    thing: StreetObject,
    calibration: Calibration,
    camera: Cameras,
    visible: int,
    rng: np.random.Generator,
) -> Label | None:
    height, width = camera.image_size
    to_rect = calibration.lidar_to_rect
    location = to_rect[:3, :3] @ np.array(thing.center) + to_rect[:3, 3]
    length, across, tall = thing.size
    rotation = wrap(-thing.yaw - np.pi / 2)
    corners = box_corners([*location, length, tall, across, rotation])
    # KITTI's last pixel is width - 1
    box = project_box(corners, calibration.P2, width - 1, height - 1)
    if box is None or visible < MIN_PIXELS:
        return None
    mesh = street.scene.object_mesh(thing.index)
    uvz = calibration.project(sample_mesh(*mesh, 500, rng)[0].astype(np.float64))
    inside = (uvz[:, 2] > NEAR) & (uvz[:, :2] >= 0).all(1) & (uvz[:, :2] <= (width, height)).all(1)
    share = visible / max(_inside_pixels(street.scene, thing.index, camera, box), 1)
    occluded = 0 if share >= 0.85 else 1 if share >= 0.45 else 2 if share >= 0.1 else 3
    if box[3] - box[1] < MIN_HEIGHT:
        nowhere = (-1000.0, -1000.0, -1000.0)
        return Label('DontCare', -1, -1, -10, tuple(box), (-1.0,) * 3, nowhere, -10, thing.index)
    return Label(
        thing.name,
        float(1 - inside.mean()),
        occluded,
        wrap(rotation - np.arctan2(location[0], location[2])),
        tuple(box),
        (tall, across, length),
        tuple(location),
        rotation,
        thing.index,
    )


def label_street(
    street: Street, calibration: Calibration, view: SceneViews, rng: np.random.Generator
) -> list[Label]:
    """Labels of what camera 2 sees, near ones first, 'DontCare' last; rounded as in the file.

    - ``truncated``: share of the object's surface outside the picture.
    - ``occluded``: 0 if at least 85 % of the pixels that it would cover show it, 1 from 45 %,
      2 from 10 %, else 3.
    - ``bbox``: the rectangle round the visible part of the projected 3D box.
    - Objects of fewer than 12 visible pixels have no label; those less than 10 pixels high are
      'DontCare'.

    Args:
        street: the scene.
        calibration: of the sensors.
        view: one picture of camera 2.
        rng: random numbers, for the truncation.
    """
    camera = calibration.camera(2, view.face.shape[1:])
    shown = view.face[0][view.face[0] >= 0]
    pixels = np.bincount(street.scene.face_object[shown], minlength=len(street.scene.objects))
    labels = []
    for thing in street.objects:
        label = _label(street, thing, calibration, camera, int(pixels[thing.index]), rng)
        if label is not None:
            labels.append(label)
    labels.sort(key=lambda label: (label.name == 'DontCare', label.location[2]))
    return [Label.parse(label.text(), label.index) for label in labels]


def lidar_box(label: Label, calibration: Calibration) -> np.ndarray:
    """The box of a label in the LiDAR frame, as mmdet3d converts it.

    Returns:
        (7,) x, y, z of the underside's middle, length, width, height, yaw.
    """
    inverse = np.linalg.inv(calibration.lidar_to_rect)
    center = inverse[:3, :3] @ np.array(label.location) + inverse[:3, 3]
    height, width, length = label.dimensions
    return np.array([*center, length, width, height, wrap(-label.rotation_y - np.pi / 2)])


def points_in_box(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which of the points (N, 3+) lie in a LiDAR box (7,) of :func:`lidar_box`."""
    local = points[:, :3].astype(np.float64) - box[:3]
    c, s = np.cos(box[6]), np.sin(box[6])
    along, across = local[:, 0] * c + local[:, 1] * s, local[:, 1] * c - local[:, 0] * s
    inside = (np.abs(along) <= box[3] / 2) & (np.abs(across) <= box[4] / 2)
    return inside & (local[:, 2] >= 0) & (local[:, 2] <= box[5])


def in_picture(points: np.ndarray, calibration: Calibration, image_size) -> np.ndarray:
    """Which of the LiDAR points (N, 3+) camera 2 has in its picture of (H, W)."""
    u, v, z = calibration.project(points.astype(np.float64)).T
    return (z > 0) & (u >= 0) & (u < image_size[1]) & (v >= 0) & (v < image_size[0])
