"""A hand-held RGB-D scan of a synthetic room: camera path, frames, labelled cloud."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mm3dpretrain.datasets.synthetic.rooms import Room
from mm3dpretrain.datasets.synthetic.scene_render import Lighting, render_scene
from mm3dpretrain.structures.cameras import Cameras, look_at

VOXEL = 0.02  # metres; one point of the scan in each
MAX_DEPTH = 8.0  # metres that the sensor reaches
FOCAL = 0.9  # focal length / picture width, as ScanNet's depth camera


class ScanParameters(NamedTuple):
    """How a room is scanned.

    Attributes:
        num_frames: frames that are kept.
        steps: positions of the camera between two frames that are kept, that one included: the
            cloud also has what those frames see, as ScanNet's clouds do.
        image_size: (H, W) in pixels of colour and depth.
        num_points: largest number of points of the cloud.
        depth_noise: standard deviation of the depth is this number times
            ``(2 mm + 0.5 mm / m^2 depth^2)``.
        lost: share of the pixels without depth, beside those that look along a surface.
    """

    num_frames: int = 8
    steps: int = 3
    image_size: tuple[int, int] = (240, 320)
    num_points: int = 30000
    depth_noise: float = 1.0
    lost: float = 0.02


class RoomScan(NamedTuple):
    """What the camera recorded; V frames that are kept, N points.

    Attributes:
        color: (V, H, W, 3) uint8.
        depth: (V, H, W) uint16 millimetres, 0 where nothing was measured.
        poses: (V, 4, 4) camera-to-world, OpenCV axes.
        intrinsics: (3, 3) in pixels, of colour and depth.
        points: (N, 6) float32 x, y, z in metres (z up) and R, G, B in [0, 255].
        object_index: (N,) int64, position in the scene's objects.
    """

    color: np.ndarray
    depth: np.ndarray
    poses: np.ndarray
    intrinsics: np.ndarray
    points: np.ndarray
    object_index: np.ndarray


def room_lighting(room: Room, rng: np.random.Generator) -> Lighting:
    """Daylight from a side and a lamp under the ceiling."""
    angle = rng.uniform(0, 2 * np.pi)
    return Lighting(
        ambient=rng.uniform(0.45, 0.58),
        sun=rng.uniform(0.15, 0.3),
        direction=(np.cos(angle), np.sin(angle), rng.uniform(0.5, 1.2)),
        lamp=rng.uniform(0.45, 0.75),
        lamp_position=(*rng.uniform(-0.6, 0.6, 2), room.size[2] - 0.25),
    )


def hand_held_path(room: Room, num: int, rng: np.random.Generator) -> torch.Tensor:
    """World-to-camera matrices (num, 4, 4) of somebody who walks round and looks across the room.

    The way is an ellipse about the middle of the room, pulled inwards where furniture as high as
    the camera stands; the view sways a little.
    """
    half = np.array(room.size[:2]) / 2
    t = np.linspace(0, 1, num, endpoint=False)
    turn = rng.choice([-1.0, 1.0]) * 2 * np.pi * t + rng.uniform(0, 2 * np.pi)

    def sway(size: float, waves: int = 3) -> np.ndarray:
        phase, amount = rng.uniform(0, 2 * np.pi, waves), rng.uniform(-1, 1, waves)
        return size * sum(a * np.sin((k + 2) * 2 * np.pi * t + p) for k, (a, p) in
                          enumerate(zip(amount, phase))) / waves  # fmt: skip

    height = np.minimum(rng.uniform(1.4, 1.65) + sway(0.12), room.size[2] - 0.4)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1)
    reach = rng.uniform(0.55, 0.72)
    boxes = [room.scene.bounds(k) for k in range(len(room.scene.objects))]
    boxes = [b for b, thing in zip(boxes, room.scene.objects) if thing.semantic not in (1, 2, 22)]
    eyes = np.empty((num, 3))
    for k in range(num):
        for share in np.linspace(reach, 0.0, 12):
            eyes[k] = (*(ring[k] * half * share), height[k])
            if not any(
                np.all(eyes[k] > b[0] - 0.25) and np.all(eyes[k] < b[1] + 0.25) for b in boxes
            ):
                break
    across = np.stack([np.cos(turn + np.pi + sway(0.5)), np.sin(turn + np.pi + sway(0.5))], 1)
    # the view rises and sinks between the far wall and the middle of the floor
    wave = np.sqrt(0.5 + 0.5 * np.sin(2 * np.pi * (3 * t + rng.random())))
    far = across * half * (rng.uniform(0.0, 0.2) + 0.65 * wave[:, None])
    targets = np.column_stack([far, 0.15 + 0.75 * wave + sway(0.4)])
    up = np.column_stack([sway(0.1), sway(0.1), np.ones(num)])
    return look_at(torch.from_numpy(eyes), torch.from_numpy(targets), torch.from_numpy(up))


def scan_room(room: Room, parameters: ScanParameters, rng: np.random.Generator) -> RoomScan:
    """Walk through a room with an RGB-D camera.

    Depth is noisy, and missing where the ray nearly lies in the surface and at random; it is
    rounded to millimetres. The cloud is what the measured pixels of all positions give, one point
    in each cell of 2 cm, at most ``num_points`` of them.

    Args:
        room: what :func:`make_room` built.
        parameters: see :class:`ScanParameters`.
        rng: random numbers of the scan.

    Raises:
        ValueError: for a number of frames, steps or points below 1.
    """
    for name in ('num_frames', 'steps', 'num_points'):
        if getattr(parameters, name) < 1:
            raise ValueError(f'{name} must be at least 1, got {getattr(parameters, name)}')
    height, width = parameters.image_size
    total = parameters.num_frames * parameters.steps
    extrinsics = hand_held_path(room, total, rng)
    focal = FOCAL * width
    intrinsics = torch.tensor(
        [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64
    )
    to_ray = np.linalg.inv(intrinsics.numpy())
    poses = torch.linalg.inv(extrinsics).numpy()
    lighting = room_lighting(room, rng)
    colors, depths, clouds, labels = [], [], [], []
    for step in range(total):
        keep = step % parameters.steps == 0
        camera = Cameras(
            extrinsics[None, step : step + 1], intrinsics.expand(1, 1, 3, 3), (height, width)
        )
        view = render_scene(room.scene, camera, lighting, supersample=2 if keep else 1)
        z = view.depth[0].astype(np.float64)
        noise = rng.standard_normal(z.shape) * parameters.depth_noise * (0.002 + 0.0005 * z**2)
        lost = rng.random(z.shape) < parameters.lost + (view.cosine[0] < 0.08)
        seen = (view.face[0] >= 0) & ~lost & (z > 0.3) & (z < MAX_DEPTH)
        millimetres = np.where(seen, np.rint((z + noise) * 1000), 0).astype(np.uint16)
        row, column = np.nonzero(seen)
        # a share of the pixels is plenty: a dozen for every point that is wanted
        some = rng.permutation(len(row))[: 12 * parameters.num_points // total]
        row, column = row[some], column[some]
        d = millimetres[row, column, None] / 1000.0
        local = np.column_stack([column + 0.5, row + 0.5, np.ones(len(row))]) @ to_ray.T * d
        pose = poses[step]
        world = local @ pose[:3, :3].T + pose[:3, 3]
        clouds.append(np.column_stack([world, view.rgb[0][row, column]]))
        labels.append(room.scene.face_object[view.face[0][row, column]])
        if keep:
            colors.append(view.rgb[0])
            depths.append(millimetres)
    cloud, label = np.concatenate(clouds), np.concatenate(labels).astype(np.int64)
    cell = np.floor(cloud[:, :3] / VOXEL).astype(np.int64) + 2**12
    key = (cell[:, 0] << 26) | (cell[:, 1] << 13) | cell[:, 2]
    # which of a cell's points stays is chance, and so is which cells do if there are too many
    order = rng.permutation(len(key))
    cells = np.unique(key[order], return_index=True)[1]
    first = order[rng.permutation(cells)[: parameters.num_points]]
    return RoomScan(
        np.stack(colors),
        np.stack(depths),
        poses[:: parameters.steps],
        intrinsics.numpy(),
        cloud[first].astype(np.float32),
        label[first],
    )
