"""SyntheticStreets: what is in the files, and that mmdet3d reads them as KITTI's."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import sys
from hashlib import sha256
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mm3dpretrain.datasets.io import read_image
from mm3dpretrain.datasets.kitti_infos import box_corners
from mm3dpretrain.datasets.synthetic.lidar import (
    SpinningLidar,
    TriangleBVH,
    hdl64_elevations,
    meshes_touch,
)
from mm3dpretrain.datasets.synthetic.primitives import box, merge, sphere
from mm3dpretrain.datasets.synthetic.scene_mesh import to_z_up
from mm3dpretrain.datasets.synthetic.scene_render import Lighting, render_scene
from mm3dpretrain.datasets.synthetic.streets import SENSOR_HEIGHT, make_street
from mm3dpretrain.datasets.synthetic.streets_labels import (
    Calibration,
    draw_calibration,
    label_street,
    lidar_box,
    points_in_box,
    project_box,
)
from mm3dpretrain.datasets.synthetic.streets_writer import write_synthetic_streets

# a small picture and a coarse LiDAR keep this quick; the geometry is that of the full size
SMALL = dict(train=3, val=2, image_size=(188, 621), beams=32, columns=800, progress=False)
CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
CLASSES = ['Pedestrian', 'Cyclist', 'Car']


@pytest.fixture(autouse=True)
def _mmdet3d_scope():
    """Data sets and transforms are mmdet3d's for the time of a test."""
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield


def tree(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(p.relative_to(root)): sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope='module')
def streets(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('streets') / 'data'
    summary = write_synthetic_streets(root, workers=1, **SMALL)
    assert summary['scenes'] == summary['written'] == 5
    return root


def read(root: Path, split: str = 'trainval') -> list[dict]:
    with open(root / f'kitti_infos_{split}.pkl', 'rb') as file:
        return pickle.load(file)['data_list']


def cloud(root: Path, info: dict, folder: str = 'velodyne_reduced') -> np.ndarray:
    path = root / 'training' / folder / info['lidar_points']['lidar_path']
    return np.fromfile(path, np.float32).reshape(-1, 4)


# --------------------------------------------------------------------------- ray casting


def naive_cast(vertices, faces, origin, direction):
    """First hit of one ray, by solving a 3 x 3 system for every triangle."""
    best, hit = np.inf, -1
    for number, face in enumerate(faces):
        a, b, c = vertices[face]
        matrix = np.stack([b - a, c - a, -direction], 1)
        if abs(np.linalg.det(matrix)) < 1e-14:
            continue
        u, v, t = np.linalg.solve(matrix, origin - a)
        if u >= 0 and v >= 0 and u + v <= 1 and 0 < t < best:
            best, hit = t, number
    return best, hit


def test_cast_equals_the_naive_twin():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(40, 3))
    faces = rng.integers(0, 40, (30, 3))
    faces = faces[(np.ptp(np.sort(faces, 1), axis=1) > 0) & (np.diff(np.sort(faces, 1)) > 0).all(1)]
    directions = rng.normal(size=(150, 3))
    origins = rng.normal(size=(150, 3)) * 2
    distance, face = TriangleBVH(vertices, faces).cast(origins, directions)
    expected = [naive_cast(vertices, faces, o, d) for o, d in zip(origins, directions)]
    assert (face == [hit for _, hit in expected]).all()
    assert 0.1 < (face >= 0).mean() < 0.9
    np.testing.assert_allclose(distance, [best for best, _ in expected], rtol=1e-9)
    limited = TriangleBVH(vertices, faces).cast(origins, directions, 0.5)[1]
    assert (limited == np.where(distance < 0.5, face, -1)).all()


def test_cast_axis_parallel_rays_and_errors():
    tree = TriangleBVH(*box(2, 2, 2))
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    distance, face = tree.cast(np.zeros(3), directions)
    np.testing.assert_array_equal(distance, 1.0)
    assert (face >= 0).all()
    assert tree.cast((5.0, 0.0, 0.0), np.eye(3))[1].tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match='direction is zero'):
        tree.cast(np.zeros(3), np.zeros((1, 3)))
    with pytest.raises(ValueError, match='without faces'):
        TriangleBVH(np.zeros((3, 3)), np.zeros((0, 3), int))


def test_meshes_touch():
    ball = sphere(1.0)
    assert meshes_touch(ball, box(1, 1, 1).move(1.2))
    assert not meshes_touch(ball, box(1, 1, 1).move(1.6))


def test_lidar_hits_surfaces_and_noise_is_radial():
    ground = box(100, 100, 0.2).move(z=-1.8)
    target = box(1, 6, 8).move(10)
    mesh = merge([ground, target])
    exact = SpinningLidar(num_beams=16, num_columns=360, range_noise=0.0, dropout=0.0)
    sweep = exact.scan(*mesh, np.full(len(mesh.faces), 0.5), np.random.default_rng(0))
    on_target = sweep.face >= len(ground.faces)
    assert on_target.sum() > 50
    np.testing.assert_allclose(sweep.points[on_target, 0], 9.5, atol=1e-5)
    np.testing.assert_allclose(sweep.points[~on_target, 2], -1.7, atol=1e-5)
    # nothing behind the box: its shadow on the ground is empty
    behind = sweep.points[(sweep.points[:, 0] > 10.6) & (np.abs(sweep.points[:, 1]) < 2.5)]
    assert len(behind) == 0
    noisy = exact._replace(range_noise=0.05, dropout=0.2)
    other = noisy.scan(*mesh, np.full(len(mesh.faces), 0.5), np.random.default_rng(0))
    assert abs(len(other.points) / len(sweep.points) - 0.8) < 0.03
    directions, beam, column = noisy.rays()
    rays = directions[other.beam * 360 + other.column]
    along = other.points[:, :3] / np.linalg.norm(other.points[:, :3], axis=1, keepdims=True)
    np.testing.assert_allclose(along, rays, atol=1e-5)
    truth = TriangleBVH(*mesh).cast(np.zeros(3), rays)[0]
    error = np.linalg.norm(other.points[:, :3], axis=1) - truth
    assert abs(error.std() - 0.05) < 0.005 and abs(error.mean()) < 0.01
    with pytest.raises(ValueError, match='num_beams'):
        hdl64_elevations(0)


def test_elevations_are_those_of_a_64_beam_sensor():
    beams = hdl64_elevations(64)
    assert len(beams) == 64 and beams[0] == 2.0 and beams[-1] == -24.8
    assert (np.diff(beams) < 0).all()
    assert len(hdl64_elevations(16)) == 16


# --------------------------------------------------------------------------- one street


@pytest.fixture(scope='module')
def street():
    return make_street(3, 1)


def test_nothing_floats_or_crosses(street):
    assert len(street.objects) >= 5
    meshes = [street.scene.object_mesh(thing.index) for thing in street.objects]
    solid = [
        k
        for k, thing in enumerate(street.scene.objects)
        if thing.name in ('building', 'pole', 'trunk', 'fence', 'sign')
    ]
    grounds = [
        street.scene.object_mesh(k)
        for k, thing in enumerate(street.scene.objects)
        if thing.name in ('road', 'sidewalk', 'terrain')
    ]
    ground = TriangleBVH(*merge(grounds))
    for k, (thing, mesh) in enumerate(zip(street.objects, meshes)):
        lowest = mesh.vertices[mesh.vertices[:, 2] < mesh.vertices[:, 2].min() + 0.02]
        start = lowest + (0, 0, 1.0)
        down = np.tile([0.0, 0.0, -1.0], (len(lowest), 1))
        gap = ground.cast(start, down)[0] - 1.0
        # the ground is made of flat facets: a few centimetres of a wheel may sink in
        assert np.abs(gap).min() < 0.04, thing.name
        for other in range(k):
            first, second = (
                street.scene.bounds(thing.index),
                street.scene.bounds(street.objects[other].index),
            )
            if (first[0] < second[1]).all() and (second[0] < first[1]).all():
                assert not meshes_touch(mesh, meshes[other])
        for other in solid:
            low, high = street.scene.bounds(other)
            mine = street.scene.bounds(thing.index)
            if (mine[0] < high).all() and (low < mine[1]).all():
                assert not meshes_touch(mesh, street.scene.object_mesh(other))


def test_boxes_are_tight(street):
    for thing in street.objects:
        vertices = street.scene.object_mesh(thing.index).vertices
        assert thing.contains(vertices, 1e-6).all()
        assert not thing.contains(vertices, -0.01).all()
        c, s = np.cos(thing.yaw), np.sin(thing.yaw)
        local = (vertices - thing.center) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        np.testing.assert_allclose(np.ptp(local, axis=0), thing.size, atol=1e-6)


def test_sizes_are_those_of_the_classes():
    sizes: dict[str, list] = {}
    for index in range(4):
        for thing in make_street(0, index).objects:
            sizes.setdefault(thing.name, []).append(thing.size)
    assert {'Car', 'Pedestrian', 'Cyclist'} <= set(sizes)
    means = {name: np.mean(values, 0) for name, values in sizes.items()}
    np.testing.assert_allclose(means['Car'], (3.9, 1.63, 1.52), rtol=0.12)
    assert 1.5 < means['Pedestrian'][2] < 1.95 and means['Pedestrian'][1] < 0.9
    assert 1.5 < means['Cyclist'][0] < 2.0


def test_scene_does_not_depend_on_others():
    first, second = make_street(5, 2), make_street(5, 2)
    np.testing.assert_array_equal(first.scene.vertices, second.scene.vertices)
    assert first.objects == second.objects
    assert len(make_street(6, 2).scene.vertices) != len(first.scene.vertices)
    with pytest.raises(ValueError, match='index'):
        make_street(0, -1)


def test_labels_agree_with_the_picture(street):
    """2D boxes hold the objects' pixels; occlusion and truncation follow what is seen."""
    rng = np.random.default_rng(0)
    size = (188, 621)
    calibration = draw_calibration(rng, size)
    view = render_scene(street.scene, calibration.camera(2, size), Lighting(), supersample=1)
    labels = label_street(street, calibration, view, rng)
    assert labels
    shown = np.where(view.face[0] >= 0, street.scene.face_object[view.face[0]], -1)
    for label in labels:
        rows, columns = np.nonzero(shown == label.index)
        assert len(rows) >= 12
        left, top, right, bottom = label.bbox
        assert columns.min() + 0.5 >= left - 1.5 and columns.max() + 0.5 <= right + 1.5
        assert rows.min() + 0.5 >= top - 1.5 and rows.max() + 0.5 <= bottom + 1.5
        if label.name != 'DontCare':
            assert 0 <= label.truncated < 1 and label.occluded in (0, 1, 2, 3)
            touches = left < 1 or top < 1 or right > size[1] - 2 or bottom > size[0] - 2
            assert touches or label.truncated == 0
    assert [x.name == 'DontCare' for x in labels] == sorted(x.name == 'DontCare' for x in labels)


def test_project_box_cuts_at_camera_and_picture():
    projection = np.array([[100.0, 0, 50, 0], [0, 100.0, 40, 0], [0, 0, 1, 0]])
    whole = box_corners([0, 1, 10, 2, 2, 2, 0.0])
    # the nearer face at z = 9: from -1 to 1 in x and from -1 to 1 in y
    expected = (50 - 100 / 9, 40 - 100 / 9, 50 + 100 / 9, 40 + 100 / 9)
    np.testing.assert_allclose(project_box(whole, projection, 100, 80), expected)
    behind = box_corners([0, 1, -5, 2, 2, 2, 0.0])
    assert project_box(behind, projection, 100, 80) is None
    around = box_corners([3, 1, 0, 12, 2, 2, np.pi / 2])  # along the viewing direction, beside
    left, top, right, bottom = project_box(around, projection, 100, 80)
    assert right == 100 and left > 50 and 0 <= top < 40 < bottom <= 80


def test_calibration_round_trip():
    calibration = draw_calibration(np.random.default_rng(0), (375, 1242))
    again = Calibration.parse(calibration.text())
    for name in Calibration.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(calibration, name))
    camera = calibration.camera(2, (375, 1242))
    points = np.array([[10.0, 2.0, -1.0], [30.0, -4.0, 0.5]])
    uv, depth = camera.project(torch.from_numpy(points)[None])
    expected = calibration.project(points)
    np.testing.assert_allclose(uv[0, 0], expected[:, :2], atol=1e-9)
    np.testing.assert_allclose(depth[0, 0], expected[:, 2], atol=1e-12)
    with pytest.raises(ValueError, match='R0_rect has 0 values'):
        Calibration.parse(calibration.text().replace('R0_rect', 'other'))


# --------------------------------------------------------------------------- the files


def test_layout(streets):
    names = (streets / 'ImageSets/trainval.txt').read_text().split()
    assert names == ['000000', '000001', '000002', '000003', '000004']
    assert (streets / 'ImageSets/val.txt').read_text().split() == ['000001', '000003']
    for name in names:
        assert read_image(streets / f'training/image_2/{name}.png').shape == (188, 621, 3)
        full = np.fromfile(streets / f'training/velodyne/{name}.bin', np.float32).reshape(-1, 4)
        label = np.fromfile(streets / f'training/labels/{name}.label', np.uint32)
        assert len(full) == len(label) > 10000
        assert full[:, 3].min() >= 0 and full[:, 3].max() <= 1
        assert np.linalg.norm(full[:, :3], axis=1).max() < 80.2
    assert not list(streets.rglob('*.tmp*'))


def test_points_and_boxes_agree(streets):
    """Points in a label's box carry one instance, and project onto it in the picture."""
    checked = 0
    for info in read(streets):
        name = info['lidar_points']['lidar_path'][:-4]
        calibration = Calibration.parse((streets / f'training/calib/{name}.txt').read_text())
        points = cloud(streets, info, 'velodyne')
        label = np.fromfile(streets / f'training/labels/{name}.label', np.uint32)
        instance, semantic = label >> 16, label & 0xFFFF
        street = make_street(0, int(name))
        for number, thing in enumerate(street.objects):
            mine = points[instance == number + 1].astype(np.float64)
            # noise of 2 cm
            assert thing.contains(mine, 0.1).all()
            if len(mine) > 20:
                others = thing.contains(points, -0.05) & (instance != number + 1)
                assert others.sum() <= 0.1 * len(mine)
                checked += 1
        assert set(np.unique(semantic[instance > 0])) <= {10, 18, 20, 30, 31}
        for one in info['instances']:
            if one['bbox_label'] < 0:
                continue
            inverse = np.linalg.inv(calibration.lidar_to_rect)
            center = inverse[:3, :3] @ np.array(one['bbox_3d'][:3]) + inverse[:3, 3]
            gaps = [np.linalg.norm(center - thing.center) for thing in street.objects]
            thing = street.objects[int(np.argmin(gaps))]
            assert min(gaps) < 1e-3
            uvz = calibration.project(points[instance == int(np.argmin(gaps)) + 1])
            seen = (uvz[:, 2] > 0) & (uvz[:, 0] >= 0) & (uvz[:, 0] < 621)
            seen &= (uvz[:, 1] >= 0) & (uvz[:, 1] < 188)
            left, top, right, bottom = one['bbox']
            u, v = uvz[seen, 0], uvz[seen, 1]
            slack = 2 + 0.1 * 361 / max(one['depth'], 1)
            assert ((u > left - slack) & (u < right + slack)).all()
            assert ((v > top - slack) & (v < bottom + slack)).all()
            # the rest is ground and what leans in
            assert one['num_lidar_pts'] <= 1.15 * seen.sum() + 3
    assert checked > 10


def test_points_project_onto_their_object(streets):
    """The picture shows, where a LiDAR point falls, the thing that the point belongs to."""
    name = '000000'
    calibration = Calibration.parse((streets / f'training/calib/{name}.txt').read_text())
    street = make_street(0, 0)
    camera = calibration.camera(2, (188, 621))
    view = render_scene(street.scene, camera, Lighting(), supersample=1)
    shown = np.where(view.face[0] >= 0, street.scene.face_object[view.face[0]], -1)
    number = np.full(len(street.scene.objects), 0)
    for k, thing in enumerate(street.objects):
        number[thing.index] = k + 1
    points = np.fromfile(streets / f'training/velodyne/{name}.bin', np.float32).reshape(-1, 4)
    instance = np.fromfile(streets / f'training/labels/{name}.label', np.uint32) >> 16
    uvz = calibration.project(points)
    inside = (uvz[:, 2] > 0) & (uvz[:, 0] >= 0) & (uvz[:, 0] < 621)
    inside &= (uvz[:, 1] >= 0) & (uvz[:, 1] < 188)
    reduced = np.fromfile(streets / f'training/velodyne_reduced/{name}.bin', np.float32)
    np.testing.assert_array_equal(reduced.reshape(-1, 4), points[inside])
    column, row = uvz[inside, 0].astype(int), uvz[inside, 1].astype(int)
    pixel = shown[row, column]
    same = number[pixel] == instance[inside]
    # the sensors stand 30 cm apart: they do not see quite the same behind an edge
    assert same.mean() > 0.97
    z = view.depth[0][row, column]
    near = np.abs(z - uvz[inside, 2]) < 0.1 + 0.05 * z
    assert near.mean() > 0.9


def test_no_point_behind_the_first_surface(streets):
    points = np.fromfile(streets / 'training/velodyne/000000.bin', np.float32).reshape(-1, 4)
    scene = make_street(0, 0).scene
    reach = np.linalg.norm(points[:, :3].astype(np.float64), axis=1)
    rays = points[:, :3] / reach[:, None]
    first = TriangleBVH(scene.vertices, scene.faces).cast(np.zeros(3), rays)[0]
    # float32 turns a ray by 1e-7: at edges another surface may be the first
    assert (np.abs(reach - first) < 0.1).mean() > 0.999
    assert abs(np.median(reach - first)) < 0.002
    below = points[np.hypot(points[:, 0], points[:, 1]) < 6, 2]
    assert abs(np.median(below) + SENSOR_HEIGHT) < 0.12


def test_same_bytes_for_any_number_of_workers(streets, tmp_path):
    again = tmp_path / 'two'
    assert write_synthetic_streets(again, workers=2, **SMALL)['written'] == 5
    assert tree(again) == tree(streets)
    # what was killed goes on, and ends with the same files
    (again / 'records/000003.json').unlink()
    (again / 'training/velodyne/.000003-x.tmp.bin').write_bytes(b'half')
    manifest = again / 'synthetic_streets.json'
    manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
    assert write_synthetic_streets(again, workers=1, **SMALL)['written'] == 1
    assert tree(again) == tree(streets)
    assert write_synthetic_streets(again, workers=1, **SMALL)['written'] == 0
    with pytest.raises(ValueError, match='beams 32 there, 64 asked'):
        write_synthetic_streets(again, workers=1, **{**SMALL, 'beams': 64})


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(train=0, val=0), 'nothing to write'),
        (dict(beams=0), 'beams must be at least 1'),
        (dict(dropout=1.0), 'dropout must be below 1'),
        (dict(image_size=(4, 4)), 'image_size'),
        (dict(workers=0), 'workers must be at least 1'),
        (dict(seed=-1), 'seed must be >= 0'),
    ],
)
def test_wrong_parameters(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_synthetic_streets(tmp_path / 'out', **{**SMALL, **wrong})


# --------------------------------------------------------------------------- mmdet3d


def kitti_dataset(root: Path, pipeline: list, split: str = 'train', **options):
    pytest.importorskip('mmdet3d')
    from mmdet3d.registry import DATASETS
    from mmdet3d.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    config = dict(
        type='KittiDataset',
        data_root=str(root) + '/',
        ann_file=f'kitti_infos_{split}.pkl',
        data_prefix=dict(pts='training/velodyne_reduced', img='training/image_2'),
        pipeline=pipeline,
        modality=dict(use_lidar=True, use_camera=False),
        metainfo=dict(classes=CLASSES),
        box_type_3d='LiDAR',
        filter_empty_gt=False,
    )
    config.update(options)
    return DATASETS.build(config)


POINTS = dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4)
LIMITS = [0, -40, -3, 70.4, 40, 1]


def test_pointpillars_pipeline(streets, monkeypatch):
    """The training pipeline of mmdet3d's KITTI configs, ground-truth sampling included.

    Only ObjectNoise is left out: it spends a minute on compiling itself.
    """
    # mmdet3d 1.4 samples objects with a name that numpy 1.24 to 1.26 lack
    monkeypatch.setattr(np, 'long', np.int64, raising=False)
    sampler = dict(
        data_root=str(streets) + '/',
        info_path=str(streets / 'kitti_dbinfos_train.pkl'),
        rate=1.0,
        prepare=dict(
            filter_by_difficulty=[-1], filter_by_min_points=dict(Car=5, Pedestrian=5, Cyclist=5)
        ),
        classes=CLASSES,
        sample_groups=dict(Car=3, Pedestrian=1, Cyclist=1),
        points_loader=POINTS,
    )
    pipeline = [
        POINTS,
        dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
        dict(type='ObjectSample', db_sampler=sampler),
        dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
        dict(
            type='GlobalRotScaleTrans',
            rot_range=[-0.78539816, 0.78539816],
            scale_ratio_range=[0.95, 1.05],
        ),
        dict(type='PointsRangeFilter', point_cloud_range=LIMITS),
        dict(type='ObjectRangeFilter', point_cloud_range=LIMITS),
        dict(type='PointShuffle'),
        dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
    ]
    dataset = kitti_dataset(streets, pipeline)
    assert len(dataset) == 3
    found = 0
    for item in dataset:
        assert item['inputs']['points'].shape[1] == 4 and len(item['inputs']['points']) > 1000
        boxes = item['data_samples'].gt_instances_3d
        assert len(boxes.bboxes_3d) == len(boxes.labels_3d)
        found += len(boxes.labels_3d)
    assert found > 5


def test_boxes_of_mmdet3d_hold_their_points(streets):
    dataset = kitti_dataset(streets, [POINTS], split='trainval')
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        points = np.fromfile(info['lidar_path'], np.float32).reshape(-1, 4)
        boxes = info['ann_info']['gt_bboxes_3d'].numpy()
        wanted = [i for i in info['instances'] if i['bbox_label'] in (0, 1, 2)]
        assert len(boxes) == len(wanted)
        for bottom, instance in zip(boxes, wanted):
            count = points_in_box(points, bottom).sum()
            assert abs(count - instance['num_lidar_pts']) <= 3 + 0.05 * count


def test_mono_and_multi_modal_pipelines(streets):
    mono = [
        dict(type='LoadImageFromFileMono3D'),
        dict(
            type='LoadAnnotations3D',
            with_bbox=True,
            with_label=True,
            with_attr_label=False,
            with_bbox_3d=True,
            with_label_3d=True,
            with_bbox_depth=True,
        ),
        dict(type='Resize', scale=(621, 188), keep_ratio=True),
        dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
        dict(
            type='Pack3DDetInputs',
            keys=['img', 'gt_bboxes', 'gt_bboxes_labels', 'gt_bboxes_3d', 'gt_labels_3d',
                  'centers_2d', 'depths'],
        ),
    ]  # fmt: skip
    dataset = kitti_dataset(
        streets,
        mono,
        modality=dict(use_lidar=False, use_camera=True),
        load_type='fov_image_based',
        box_type_3d='Camera',
    )
    for item in dataset:
        assert tuple(item['inputs']['img'].shape) == (3, 188, 621)
        sample = item['data_samples']
        assert len(sample.gt_instances.bboxes) == len(sample.gt_instances_3d.depths)
    fused = [
        POINTS,
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
        dict(type='RandomResize', scale=[(310, 94), (621, 188)], keep_ratio=True),
        dict(type='GlobalRotScaleTrans', rot_range=[-0.3, 0.3], scale_ratio_range=[0.95, 1.05],
             translation_std=[0.2, 0.2, 0.2]),
        dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
        dict(type='PointsRangeFilter', point_cloud_range=LIMITS),
        dict(type='ObjectRangeFilter', point_cloud_range=LIMITS),
        dict(type='PointShuffle'),
        dict(type='Pack3DDetInputs', keys=['points', 'img', 'gt_bboxes_3d', 'gt_labels_3d']),
    ]  # fmt: skip
    both = kitti_dataset(
        streets,
        fused,
        modality=dict(use_lidar=True, use_camera=True),
        default_cam_key='CAM2',
    )
    item = both[0]
    assert item['inputs']['img'].ndim == 3 and len(item['inputs']['points']) > 1000
    assert item['data_samples'].lidar2img.shape == (4, 4)


def test_semantic_kitti_reads_the_sweeps(streets):
    pytest.importorskip('mmdet3d')
    import mmdet3d
    from mmdet3d.registry import DATASETS

    base = Path(mmdet3d.__file__).parent / '.mim/configs/_base_/datasets/semantickitti.py'
    if not base.is_file():
        pytest.skip('this mmdet3d comes without its configs')
    dataset = copy.deepcopy(Config.fromfile(base).val_dataloader.dataset)
    dataset = dataset.get('dataset', dataset)
    dataset.update(data_root=str(streets) + '/', ann_file='semantickitti_infos_val.pkl')
    kitti_dataset(streets, [])  # registers mmdet3d's modules
    for item in DATASETS.build(dataset):
        mask = item['data_samples'].gt_pts_seg.pts_semantic_mask
        assert len(mask) == len(item['inputs']['points'])
        classes = set(np.unique(mask))
        assert {0, 8, 10} <= classes  # car, road, sidewalk


def mmdet3d_converter():
    """mmdet3d's own converter, which comes with its package but is not part of it."""
    mmdet3d = pytest.importorskip('mmdet3d')
    tools = Path(mmdet3d.__file__).parent / '.mim'
    if not (tools / 'tools/dataset_converters/update_infos_to_v2.py').is_file():
        pytest.skip('this mmdet3d comes without its tools')
    return tools


def test_infos_equal_those_of_mmdet3d(streets, tmp_path, monkeypatch):
    folder = mmdet3d_converter() / 'tools/dataset_converters'
    monkeypatch.syspath_prepend(str(folder))
    for name in ('kitti_data_utils', 'update_infos_to_v2'):
        spec = importlib.util.spec_from_file_location(name, folder / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            pytest.skip(f'the converter of mmdet3d needs a package that is not there: {error}')
    from kitti_data_utils import get_kitti_image_info
    from mmdet3d.structures.ops import box_np_ops
    from update_infos_to_v2 import update_kitti_infos

    infos = get_kitti_image_info(
        str(streets), training=True, velodyne=True, calib=True, image_ids=[1, 3], num_worker=1
    )
    for info in infos:
        calib, annos = info['calib'], info['annos']
        points = np.fromfile(streets / info['point_cloud']['velodyne_path'], np.float32)
        points = box_np_ops.remove_outside_points(
            points.reshape(-1, 4), calib['R0_rect'], calib['Tr_velo_to_cam'], calib['P2'],
            info['image']['image_shape'],
        )  # fmt: skip
        count = int((annos['name'] != 'DontCare').sum())
        boxes = np.concatenate(
            [annos['location'], annos['dimensions'], annos['rotation_y'][:, None]], 1
        )[:count]
        boxes = box_np_ops.box_camera_to_lidar(boxes, calib['R0_rect'], calib['Tr_velo_to_cam'])
        inside = box_np_ops.points_in_rbbox(points[:, :3], boxes).sum(0)
        rest = -np.ones(len(annos['name']) - count)
        annos['num_points_in_gt'] = np.concatenate([inside, rest]).astype(np.int32)
    mmengine.dump(infos, str(tmp_path / 'kitti_infos_val.pkl'))
    (tmp_path / 'new').mkdir()
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    update_kitti_infos(str(tmp_path / 'kitti_infos_val.pkl'), str(tmp_path / 'new'))
    theirs = mmengine.load(str(tmp_path / 'new/kitti_infos_val.pkl'))
    ours = mmengine.load(str(streets / 'kitti_infos_val.pkl'))
    assert ours['metainfo']['info_version'] == theirs['metainfo']['info_version']
    assert theirs['metainfo']['categories'].items() <= ours['metainfo']['categories'].items()
    assert len(ours['data_list']) == len(theirs['data_list'])
    for mine, other in zip(ours['data_list'], theirs['data_list']):
        compare(mine, other, '')


def compare(mine, other, where: str) -> None:
    if isinstance(other, dict):
        assert set(mine) == set(other), where
        for key in other:
            compare(mine[key], other[key], f'{where}.{key}')
    elif isinstance(other, (list, tuple)):
        assert len(mine) == len(other), where
        for k, (a, b) in enumerate(zip(mine, other)):
            compare(a, b, f'{where}[{k}]')
    elif isinstance(other, str):
        assert mine == other, where
    elif where.endswith('num_lidar_pts'):
        # mmdet3d counts in the upright box of the LiDAR frame, which the camera's is tilted against
        assert abs(mine - other) <= 3 + 0.05 * other, where
    elif '.cam_instances' in where and '.bbox[' in where:
        assert abs(mine - other) <= 0.05, where
    else:
        np.testing.assert_allclose(mine, other, rtol=2e-6, atol=2e-4, err_msg=where)


def test_ground_truth_has_full_average_precision(streets, tmp_path):
    """The labels themselves, as detections, find everything: KittiMetric gives 100."""
    pytest.importorskip('mmdet3d')
    from mmdet3d.evaluation import KittiMetric
    from mmdet3d.structures import LiDARInstance3DBoxes

    # 40 recall positions need 40 objects: every frame counts eight times
    path = tmp_path / 'infos.pkl'
    infos = mmengine.load(streets / 'kitti_infos_trainval.pkl')
    frames = [copy.deepcopy(info) for _ in range(8) for info in infos['data_list']]
    mmengine.dump({**infos, 'data_list': frames}, str(path))
    dataset = kitti_dataset(streets, [POINTS], ann_file=str(path), test_mode=True)
    metric = KittiMetric(ann_file=str(path), metric='bbox')
    metric.dataset_meta = dataset.metainfo
    samples = []
    difficulties = set()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        truth = info['eval_ann_info']
        labels = torch.from_numpy(truth['gt_labels_3d'])
        difficulties |= set(truth['difficulty'].tolist())
        boxes = LiDARInstance3DBoxes(truth['gt_bboxes_3d'].tensor)
        prediction = dict(bboxes_3d=boxes, labels_3d=labels, scores_3d=torch.ones(len(labels)))
        samples.append(
            dict(pred_instances_3d=prediction, pred_instances={}, sample_idx=index,
                 sample_id=index)
        )  # fmt: skip
    assert {0, 1} <= difficulties
    metric.process({}, samples)
    results = metric.evaluate(len(samples))
    for name in ('Car_3D_AP40_moderate_strict', 'Car_BEV_AP40_hard_strict'):
        assert results[f'Kitti metric/pred_instances_3d/KITTI/{name}'] > 99


def test_lidar_box_is_the_scene_box(streets):
    street = make_street(0, 0)
    rng = np.random.default_rng(0)
    calibration = draw_calibration(rng, (188, 621))
    view = render_scene(street.scene, calibration.camera(2, (188, 621)), Lighting(), 1)
    known = {thing.index: thing for thing in street.objects}
    for label in label_street(street, calibration, view, rng):
        if label.name == 'DontCare':
            continue
        thing = known[label.index]
        box = lidar_box(label, calibration)
        np.testing.assert_allclose(box[:6], (*thing.center, *thing.size), atol=3e-4)
        assert abs(np.sin(box[6] - thing.yaw)) < 1e-3 and np.cos(box[6] - thing.yaw) > 0


def test_z_up_keeps_the_front():
    """A shape's front (+z) looks ahead (+x), its left (+x, seen from behind) to +y."""
    turned = to_z_up(box(1, 2, 3).move(0.1, 0.2, 0.3))
    np.testing.assert_allclose(
        (turned.vertices.min(0) + turned.vertices.max(0)) / 2, (0.3, 0.1, 0.2)
    )
    np.testing.assert_allclose(np.ptp(turned.vertices, axis=0), (3, 1, 2))


@pytest.mark.parametrize('name', ['det', 'mono', 'seg'])
def test_config_bases(streets, name):
    """The data configs build their loaders' data sets, and items come out of both splits."""
    pytest.importorskip('mmdet3d')
    from mmdet3d.registry import DATASETS

    kitti_dataset(streets, [])  # registers mmdet3d's modules
    config = Config.fromfile(CONFIGS / f'synthetic_streets_{name}.py')
    for split in ('train', 'val', 'test'):
        dataset = config[f'{split}_dataloader'].dataset
        dataset = dataset.get('dataset', dataset)
        assert dataset.data_root == 'data/synthetic_streets/'
        dataset.data_root = str(streets) + '/'
        built = DATASETS.build(dataset)
        assert len(built) == (3 if split == 'train' else 2)
        assert set(built[0]['inputs']) == {'img' if name == 'mono' else 'points'}
    if name != 'seg':
        for evaluator in (config.val_evaluator, config.test_evaluator):
            assert evaluator.ann_file == 'data/synthetic_streets/kitti_infos_val.pkl'


def test_visualizer_draws_the_boxes(streets):
    """mmdet3d's visualiser puts the boxes into the picture and into the view from above."""
    pytest.importorskip('mmdet3d')
    from mmdet3d.structures import CameraInstance3DBoxes
    from mmdet3d.visualization import Det3DLocalVisualizer

    dataset = kitti_dataset(streets, [POINTS], split='trainval')
    info = dataset.get_data_info(0)
    picture = read_image(streets / 'training/image_2/000000.png')
    boxes = info['ann_info']['gt_bboxes_3d']
    to_image = np.array(info['images']['CAM2']['lidar2img'])
    visualizer = Det3DLocalVisualizer()
    visualizer.set_image(picture)
    visualizer.draw_proj_bboxes_3d(boxes, dict(lidar2img=to_image))
    drawn = visualizer.get_image()
    changed = np.argwhere((drawn != picture).any(2))
    assert len(changed) > 100
    cam = CameraInstance3DBoxes([i['bbox_3d'] for i in info['instances'] if i['bbox_label'] >= 0])
    visualizer.set_image(picture)
    visualizer.draw_proj_bboxes_3d(cam, dict(cam2img=np.array(info['images']['CAM2']['cam2img'])))
    assert (visualizer.get_image() != picture).any()
