"""SyntheticRooms on disk: mmdet3d's ScanNet layout, and RGB-D frames beside it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.datasets.synthetic.rooms import Room, make_room
from mm3dpretrain.datasets.synthetic.rooms_pieces import BOX_CLASSES, BOX_LABELS, SEG_LABELS
from mm3dpretrain.datasets.synthetic.rooms_scan import RoomScan, ScanParameters, scan_room
from mm3dpretrain.datasets.synthetic.scene_writer import (
    write_array,
    write_picture,
    write_scenes,
    write_text,
)
from mm3dpretrain.datasets.synthetic.shapes import GENERATOR_VERSION

# Raise it when a change alters the rooms that a seed gives: folders of older ones are refused.
ROOMS_VERSION = 1
MIN_POINTS = 30  # of an object of the detection classes
INFOS = 'rooms_infos_{split}.pkl'


@dataclass(frozen=True)
class RoomParameters:
    """All that determines what is in the files; stored in ``synthetic_rooms.json``.

    See :func:`write_synthetic_rooms` for the meaning.
    """

    version: int
    shapes_version: int
    seed: int
    train: int
    val: int
    frames: int
    steps: int
    image_size: tuple[int, int]
    num_points: int
    depth_noise: float

    def __post_init__(self) -> None:
        for name in ('train', 'val', 'seed'):
            if getattr(self, name) < 0:
                raise ValueError(f'{name} must be >= 0, got {getattr(self, name)}')
        if self.train + self.val == 0:
            raise ValueError('train and val are both 0: nothing to write')
        for name in ('frames', 'steps', 'num_points'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got {getattr(self, name)}')
        if min(self.image_size) < 16:
            raise ValueError(f'image_size must be at least 16 x 16, got {self.image_size}')
        if self.depth_noise < 0:
            raise ValueError(f'depth_noise must be >= 0, got {self.depth_noise}')

    @property
    def scan(self) -> ScanParameters:
        """How each room is scanned."""
        return ScanParameters(
            self.frames, self.steps, tuple(self.image_size), self.num_points, self.depth_noise
        )


def room_names(p: RoomParameters) -> list[str]:
    """``room0000_00`` ...; training rooms have even numbers, validation rooms odd ones."""
    numbers = [2 * k for k in range(p.train)] + [2 * k + 1 for k in range(p.val)]
    return [f'room{number:04d}_00' for number in numbers]


def drop_slivers(room: Room, scan: RoomScan) -> RoomScan:
    """The scan without the points of objects that it hardly saw.

    Objects of the detection classes with fewer than :data:`MIN_POINTS` points would either have a
    box round a few points, or be foreground without a box.
    """
    counts = np.bincount(scan.object_index, minlength=len(room.scene.objects))
    boxed = np.array([thing.semantic in BOX_LABELS for thing in room.scene.objects])
    keep = ~(boxed & (counts < MIN_POINTS))[scan.object_index]
    return scan._replace(points=scan.points[keep], object_index=scan.object_index[keep])


def label_points(room: Room, scan: RoomScan) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """Semantic mask, instance mask and boxes of a scan.

    Objects of the detection classes come first, so that instance ``k`` (1, 2, ...) belongs to box
    ``k - 1``; then all others, walls and floor included. A box is the tight axis-aligned one of
    the object's points, as in ScanNet.

    Returns:
        ``semantic`` (N,) int64 NYU40 labels, ``instance`` (N,) int64 from 1, and for each box a
        dict of ``bbox_3d`` (x, y, z of the centre, dx, dy, dz; metres) and ``bbox_label_3d``.
    """
    objects = room.scene.objects
    semantic = np.array([thing.semantic for thing in objects])[scan.object_index]
    counts = np.bincount(scan.object_index, minlength=len(objects))
    boxed = [k for k, thing in enumerate(objects) if thing.semantic in BOX_LABELS and counts[k] > 0]
    others = [k for k in range(len(objects)) if k not in boxed]
    number = np.empty(len(objects), np.int64)
    number[boxed + others] = np.arange(1, len(objects) + 1)
    boxes = []
    for k in boxed:
        xyz = scan.points[scan.object_index == k, :3].astype(np.float64)
        low, high = xyz.min(0), xyz.max(0)
        boxes.append(
            dict(
                bbox_3d=[*((low + high) / 2).tolist(), *(high - low).tolist()],
                bbox_label_3d=BOX_LABELS.index(objects[k].semantic),
            )
        )
    return semantic.astype(np.int64), number[scan.object_index], boxes


def _matrix_text(matrix: np.ndarray) -> str:
    return '\n'.join(' '.join(f'{value:.9f}' for value in row) for row in matrix) + '\n'


def _write_room(root: Path, index: int, p: RoomParameters) -> dict:
    name = room_names(p)[index]
    number = int(name[4:].split('_')[0])
    room = make_room(p.seed, number)
    scan = scan_room(room, p.scan, np.random.default_rng([p.seed, number, 1]))
    scan = drop_slivers(room, scan)
    semantic, instance, boxes = label_points(room, scan)
    write_array(root / 'points' / f'{name}.bin', scan.points)
    write_array(root / 'semantic_mask' / f'{name}.bin', semantic)
    write_array(root / 'instance_mask' / f'{name}.bin', instance)
    folder = root / 'scans' / name
    matrix = np.eye(4)
    matrix[:3, :3] = scan.intrinsics
    for kind in ('color', 'depth'):
        write_text(folder / 'intrinsic' / f'intrinsic_{kind}.txt', _matrix_text(matrix))
        write_text(folder / 'intrinsic' / f'extrinsic_{kind}.txt', _matrix_text(np.eye(4)))
    for frame in range(p.frames):
        stem = str(frame * p.steps)  # frames keep their number on the path, as ScanNet's do
        write_picture(folder / 'color' / f'{stem}.png', scan.color[frame])
        write_picture(folder / 'depth' / f'{stem}.png', scan.depth[frame])
        write_text(folder / 'pose' / f'{stem}.txt', _matrix_text(scan.poses[frame]))
    return dict(name=name, kind=room.kind, points=len(scan.points), instances=boxes)


def _info(record: dict) -> dict:
    file = f'{record["name"]}.bin'
    return dict(
        lidar_points=dict(num_pts_feats=6, lidar_path=file),
        pts_semantic_mask_path=file,
        pts_instance_mask_path=file,
        axis_align_matrix=np.eye(4).tolist(),
        instances=record['instances'],
    )


def _write_lists(root: Path, records: list[dict], p: RoomParameters) -> None:
    import mmengine

    metainfo = dict(
        categories={name: k for k, name in enumerate(BOX_CLASSES)},
        dataset='scannet',
        info_version='1.1',
    )
    splits = dict(train=records[: p.train], val=records[p.train :])
    for split, part in splits.items():
        with atomic_path(root / INFOS.format(split=split)) as temporary:
            content = dict(metainfo=metainfo, data_list=[_info(record) for record in part])
            mmengine.dump(content, os.fspath(temporary))
        write_text(root / 'splits' / f'{split}.txt', ''.join(f'{r["name"]}\n' for r in part))
        # what mmdet3d's segmentation configs name: how often each room is drawn, by its points,
        # and how rare each class is
        points = np.array([record['points'] for record in part], dtype=np.float64)
        times = np.maximum(1, np.rint(points / max(points.mean(), 1))) if len(part) else points
        indices = np.repeat(np.arange(len(part)), times.astype(int)).astype(np.int32)
        counts = np.zeros(len(SEG_LABELS))
        for record in part:
            labels = np.fromfile(root / 'semantic_mask' / f'{record["name"]}.bin', np.int64)
            counts += [(labels == label).sum() for label in SEG_LABELS]
        weights = 1 / np.log(1.2 + counts / max(counts.sum(), 1))
        for kind, array in (('resampled_scene_idxs', indices), ('label_weight', weights)):
            with atomic_path(root / 'seg_info' / f'{split}_{kind}.npy') as temporary:
                np.save(temporary, array.astype(np.float32) if array is weights else array)


def write_synthetic_rooms(
    out: str | os.PathLike,
    train: int = 100,
    val: int = 25,
    frames: int = 8,
    steps: int = 3,
    image_size: tuple[int, int] = (240, 320),
    num_points: int = 30000,
    depth_noise: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> dict:
    """Write furnished rooms in mmdet3d's ScanNet layout; what a former run has written is kept.

    ::

        points/<room>.bin             float32 (N, 6): x, y, z in metres, z up; R, G, B in [0, 255]
        semantic_mask/<room>.bin      int64 (N,) NYU40 labels
        instance_mask/<room>.bin      int64 (N,) from 1; instance k is box k - 1 of the info file
        rooms_infos_{train,val}.pkl   info files of mmdet3d 1.4 (ScanNetDataset, Depth boxes)
        seg_info/                     scene indices and class weights of the segmentation configs
        scans/<room>/color/<k>.png    frames; depth/<k>.png uint16 millimetres, 0 is missing;
        scans/<room>/pose/<k>.txt     camera-to-world; intrinsic/intrinsic_{color,depth}.txt
        splits/{train,val}.txt        names of the rooms

    The files depend on the parameters alone, not on ``workers``; a room does not depend on how
    many others there are.

    Args:
        out: folder; made if needed.
        train: training rooms.
        val: validation rooms.
        frames: RGB-D frames of each room.
        steps: camera positions between two frames; the cloud has what all of them see.
        image_size: (H, W) of the frames.
        num_points: largest number of points of a cloud.
        depth_noise: factor on the noise of the depth camera; 0 for none.
        seed: of everything random.
        workers: processes; None for one a core that this process may use.
        progress: print a progress bar with the time left.

    Returns:
        ``dict(out, scenes, written, seconds, workers, parameters)``.

    Raises:
        ValueError: for impossible parameters, or a folder that holds rooms of other ones.
        FileExistsError: if the folder has files but no ``synthetic_rooms.json``.
    """
    p = RoomParameters(
        version=ROOMS_VERSION,
        shapes_version=GENERATOR_VERSION,
        seed=int(seed),
        train=train,
        val=val,
        frames=frames,
        steps=steps,
        image_size=tuple(image_size),
        num_points=num_points,
        depth_noise=float(depth_noise),
    )
    return write_scenes(
        out,
        'synthetic rooms',
        asdict(p),
        room_names(p),
        partial(_write_room, p=p),
        partial(_write_lists, p=p),
        workers,
        progress,
    )
