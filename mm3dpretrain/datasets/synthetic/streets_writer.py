"""SyntheticStreets on disk: KITTI's folders, mmdet3d's info files, SemanticKITTI's labels."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.datasets.kitti_infos import CLASSES, frame_info
from mm3dpretrain.datasets.synthetic.lidar import SpinningLidar
from mm3dpretrain.datasets.synthetic.scene_render import Lighting, render_scene
from mm3dpretrain.datasets.synthetic.scene_writer import (
    write_array,
    write_picture,
    write_scenes,
    write_text,
)
from mm3dpretrain.datasets.synthetic.shapes import GENERATOR_VERSION
from mm3dpretrain.datasets.synthetic.streets import make_street
from mm3dpretrain.datasets.synthetic.streets_labels import (
    draw_calibration,
    in_picture,
    label_street,
    lidar_box,
    points_in_box,
)

# Raise it when a change alters the streets that a seed gives: folders of older ones are refused.
STREETS_VERSION = 1
SHADOW_RANGE = 160.0  # metres
SPLITS = ('train', 'val', 'trainval')


@dataclass(frozen=True)
class StreetParameters:
    """All that determines what is in the files; stored in ``synthetic_streets.json``.

    See :func:`write_synthetic_streets` for the meaning.
    """

    version: int
    shapes_version: int
    seed: int
    train: int
    val: int
    image_size: tuple[int, int]
    stereo: bool
    beams: int
    columns: int
    max_range: float
    range_noise: float
    dropout: float

    def __post_init__(self) -> None:
        for name in ('train', 'val', 'seed', 'range_noise', 'dropout'):
            if getattr(self, name) < 0:
                raise ValueError(f'{name} must be >= 0, got {getattr(self, name)}')
        if self.train + self.val == 0:
            raise ValueError('train and val are both 0: nothing to write')
        for name in ('beams', 'columns'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got {getattr(self, name)}')
        if self.dropout >= 1:
            raise ValueError(f'dropout must be below 1, got {self.dropout}')
        if not self.max_range > 1:
            raise ValueError(f'max_range must be above 1 m, got {self.max_range}')
        if min(self.image_size) < 16:
            raise ValueError(f'image_size must be at least 16 x 16, got {self.image_size}')

    @property
    def lidar(self) -> SpinningLidar:
        """The sensor."""
        return SpinningLidar(
            num_beams=self.beams,
            num_columns=self.columns,
            max_range=self.max_range,
            range_noise=self.range_noise,
            dropout=self.dropout,
        )


def frame_names(p: StreetParameters) -> list[str]:
    """Six digits each; training frames have even numbers, validation frames odd ones."""
    numbers = [2 * k for k in range(p.train)] + [2 * k + 1 for k in range(p.val)]
    return [f'{number:06d}' for number in numbers]


def street_lighting(rng: np.random.Generator) -> Lighting:
    """Daylight of a random hour; now and then an overcast sky."""
    angle, overcast = rng.uniform(0, 2 * np.pi), rng.random() < 0.25
    return Lighting(
        ambient=rng.uniform(0.75, 0.95) if overcast else rng.uniform(0.45, 0.62),
        sun=0.1 if overcast else rng.uniform(0.45, 0.75),
        direction=(np.cos(angle), np.sin(angle), rng.uniform(0.5, 1.5)),
        shadow_size=2048,
        shadow_range=SHADOW_RANGE,
        haze=rng.uniform(120, 400),
        sky=(196.0, 200.0, 204.0) if overcast else (205.0, 214.0, 222.0),
        zenith=(170.0, 176.0, 184.0) if overcast else (120.0, 160.0, 210.0),
    )


def _write_street(root: Path, index: int, p: StreetParameters) -> dict:
    name = frame_names(p)[index]
    number = int(name)
    street = make_street(p.seed, number)
    rng = np.random.default_rng([p.seed, number, 101])
    size = tuple(p.image_size)
    calibration = draw_calibration(rng, size)
    lighting = street_lighting(rng)
    scene, folder = street.scene, root / 'training'
    view = render_scene(scene, calibration.camera(2, size), lighting)
    labels = label_street(street, calibration, view, rng)
    sweep = p.lidar.scan(scene.vertices, scene.faces, scene.reflectance, rng)
    points = sweep.points
    reduced = points[in_picture(points, calibration, size)]

    write_picture(folder / 'image_2' / f'{name}.png', view.rgb[0])
    if p.stereo:
        right = render_scene(scene, calibration.camera(3, size), lighting)
        write_picture(folder / 'image_3' / f'{name}.png', right.rgb[0])
    write_text(folder / 'calib' / f'{name}.txt', calibration.text())
    write_text(folder / 'label_2' / f'{name}.txt', ''.join(f'{x.text()}\n' for x in labels))
    write_array(folder / 'velodyne' / f'{name}.bin', points)
    write_array(folder / 'velodyne_reduced' / f'{name}.bin', reduced)
    # SemanticKITTI: the instance in the upper 16 bits, the class in the lower ones
    things = scene.face_object[sweep.face]
    semantic = np.array([thing.semantic for thing in scene.objects])[things]
    instance = np.zeros(len(scene.objects), np.int64)
    for k, thing in enumerate(street.objects):
        instance[thing.index] = k + 1
    label = (instance[things] << 16 | semantic).astype(np.uint32)
    write_array(folder / 'labels' / f'{name}.label', label)

    database = []
    for k, one in enumerate(labels):
        if one.name not in CLASSES:
            continue
        box = lidar_box(one, calibration).astype(np.float32)
        cut = reduced[points_in_box(reduced, box.astype(np.float64))]
        cut[:, :3] -= box[:3]
        path = f'kitti_gt_database/{name}_{one.name}_{k}.bin'
        if name in _train_names(p):
            write_array(root / path, cut)
        database.append(dict(path=path, gt_idx=k, box=box.tolist(), points=len(cut)))
    return dict(
        name=name,
        points=len(points),
        info=frame_info(root, name),
        database=database,
    )


def _train_names(p: StreetParameters) -> list[str]:
    return frame_names(p)[: p.train]


def _dump(path: Path, content) -> None:
    import mmengine

    with atomic_path(path) as temporary:
        mmengine.dump(content, os.fspath(temporary))


def _database_infos(records: list[dict]) -> dict[str, list[dict]]:
    """``kitti_dbinfos_train.pkl``: for each class the cut-out objects of the training frames."""
    groups: dict[str, list[dict]] = {}
    for record in records:
        instances = record['info']['instances']
        for entry in record['database']:
            instance = instances[entry['gt_idx']]
            name = CLASSES[instance['bbox_label']]
            groups.setdefault(name, []).append(
                dict(
                    name=name,
                    path=entry['path'],
                    image_idx=record['info']['sample_idx'],
                    gt_idx=entry['gt_idx'],
                    box3d_lidar=np.array(entry['box'], np.float32),
                    num_points_in_gt=entry['points'],
                    difficulty=instance['difficulty'],
                    group_id=sum(len(group) for group in groups.values()),
                    score=0.0,
                )
            )
    return groups


def _write_lists(root: Path, records: list[dict], p: StreetParameters) -> None:
    categories = {name: k for k, name in enumerate(CLASSES)}
    categories['DontCare'] = -1
    metainfo = dict(categories=categories, dataset='kitti', info_version='1.1')
    ordered = sorted(records, key=lambda record: record['name'])
    parts = dict(train=records[: p.train], val=records[p.train :], trainval=ordered)
    for split in SPLITS:
        part = parts[split]
        names = ''.join(f'{record["name"]}\n' for record in part)
        write_text(root / 'ImageSets' / f'{split}.txt', names)
        infos = [record['info'] for record in part]
        _dump(root / f'kitti_infos_{split}.pkl', dict(metainfo=metainfo, data_list=infos))
        semantic = [
            dict(
                lidar_points=dict(
                    lidar_path=f'training/velodyne/{record["name"]}.bin', num_pts_feats=4
                ),
                pts_semantic_mask_path=f'training/labels/{record["name"]}.label',
                sample_id=record['name'],
            )
            for record in part
        ]
        content = dict(metainfo=dict(dataset='semantickitti', info_version='1.1'))
        content['data_list'] = semantic
        _dump(root / f'semantickitti_infos_{split}.pkl', content)
    _dump(root / 'kitti_dbinfos_train.pkl', _database_infos(parts['train']))


def write_synthetic_streets(
    out: str | os.PathLike,
    train: int = 100,
    val: int = 25,
    image_size: tuple[int, int] = (375, 1242),
    stereo: bool = False,
    beams: int = 64,
    columns: int = 2083,
    max_range: float = 80.0,
    range_noise: float = 0.02,
    dropout: float = 0.04,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> dict:
    """Write street scenes in KITTI's layout; what a former run has written is kept.

    ::

        training/image_2/<id>.png           left colour camera; image_3 the right one
        training/calib/<id>.txt             P0 to P3, R0_rect, Tr_velo_to_cam, Tr_imu_to_velo
        training/label_2/<id>.txt           KITTI labels, four decimals
        training/velodyne/<id>.bin          float32 (N, 4): x, y, z, intensity; the whole turn
        training/velodyne_reduced/<id>.bin  the points in the picture of camera 2
        training/labels/<id>.label          uint32 (N,): instance << 16 | SemanticKITTI class
        ImageSets/{train,val,trainval}.txt
        kitti_infos_{train,val,trainval}.pkl, kitti_dbinfos_train.pkl, kitti_gt_database/
        semantickitti_infos_{train,val,trainval}.pkl

    The files depend on the parameters alone, not on ``workers``; a frame does not depend on how
    many others there are.

    Args:
        out: folder; made if needed.
        train: training frames.
        val: validation frames.
        image_size: (H, W) of the pictures.
        stereo: also draw the right camera's picture, ``image_3``.
        beams: of the LiDAR.
        columns: firings of the LiDAR per turn.
        max_range: of the LiDAR in metres.
        range_noise: standard deviation of its distances in metres.
        dropout: share of its returns that is lost at random.
        seed: of everything random.
        workers: processes; None for one a core that this process may use.
        progress: print a progress bar with the time left.

    Returns:
        ``dict(out, scenes, written, seconds, workers, parameters)``.

    Raises:
        ValueError: for impossible parameters, or a folder that holds streets of other ones.
        FileExistsError: if the folder has files but no ``synthetic_streets.json``.
    """
    p = StreetParameters(
        version=STREETS_VERSION,
        shapes_version=GENERATOR_VERSION,
        seed=int(seed),
        train=train,
        val=val,
        image_size=tuple(image_size),
        stereo=bool(stereo),
        beams=beams,
        columns=columns,
        max_range=float(max_range),
        range_noise=float(range_noise),
        dropout=float(dropout),
    )
    return write_scenes(
        out,
        'synthetic streets',
        asdict(p),
        frame_names(p),
        partial(_write_street, p=p),
        partial(_write_lists, p=p),
        workers,
        progress,
    )
