"""SyntheticRooms: what is in the files, and that mmdet3d reads them as ScanNet's."""

from __future__ import annotations

import pickle
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mm3dpretrain.datasets.synthetic.lidar import TriangleBVH, meshes_touch
from mm3dpretrain.datasets.synthetic.rooms import KINDS, make_room
from mm3dpretrain.datasets.synthetic.rooms_pieces import (
    BOX_CLASSES,
    BOX_LABELS,
    NYU40,
    SEG_CLASSES,
    SEG_LABELS,
)
from mm3dpretrain.datasets.synthetic.rooms_scan import ScanParameters, scan_room
from mm3dpretrain.datasets.synthetic.rooms_writer import (
    drop_slivers,
    label_points,
    write_synthetic_rooms,
)
from mm3dpretrain.datasets.synthetic.scene_render import Lighting, render_scene
from mm3dpretrain.structures.cameras import Cameras, look_at

# every camera position is a frame on disk, so that the cloud can be compared with the frames
SMALL = dict(train=3, val=2, frames=12, steps=1, image_size=(120, 160), num_points=12000)
SMALL.update(progress=False)
CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
SHELL = ('wall', 'floor', 'ceiling')


@pytest.fixture(autouse=True)
def _mmdet3d_scope():
    """Data sets and transforms are mmdet3d's for the time of a test."""
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield


def tree(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(p.relative_to(root)): sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope='module')
def rooms(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('rooms') / 'data'
    summary = write_synthetic_rooms(root, workers=1, **SMALL)
    assert summary['scenes'] == summary['written'] == 5
    return root


def read(root: Path, split: str) -> list[dict]:
    with open(root / f'rooms_infos_{split}.pkl', 'rb') as file:
        return pickle.load(file)['data_list']


def load(root: Path, info: dict):
    """Points (N, 6), semantic and instance mask of one room."""
    file = info['lidar_points']['lidar_path']
    points = np.fromfile(root / 'points' / file, np.float32).reshape(-1, 6)
    masks = [np.fromfile(root / f'{k}_mask' / file, np.int64) for k in ('semantic', 'instance')]
    return points, *masks


def frames(root: Path, name: str):
    """Colour, depth in metres, world-to-camera and intrinsics of every frame."""
    folder = root / 'scans' / name
    matrix = np.loadtxt(folder / 'intrinsic/intrinsic_depth.txt')[:3, :3]
    for path in sorted(folder.glob('color/*.png'), key=lambda p: int(p.stem)):
        depth = np.asarray(Image.open(folder / f'depth/{path.stem}.png'))
        assert depth.dtype in (np.uint16, np.int32)
        pose = np.loadtxt(folder / f'pose/{path.stem}.txt')
        yield np.asarray(Image.open(path)), depth / 1000.0, np.linalg.inv(pose), matrix


# --------------------------------------------------------------------------- one room


@pytest.mark.parametrize('kind', list(KINDS))
def test_nothing_floats_or_crosses(kind):
    room = make_room(0, 7, kind)
    things = room.scene.objects
    meshes = [room.scene.object_mesh(k) for k in range(len(things))]
    bounds = [room.scene.bounds(k) for k in range(len(things))]
    half = np.array(room.size[:2]) / 2
    furniture = [k for k, thing in enumerate(things) if thing.name not in SHELL]
    assert len(furniture) >= 4
    for k in furniture:
        low, high = bounds[k]
        assert (np.abs([low[:2], high[:2]]) < half + 1e-6).all() and high[2] < room.size[2]
        on = room.supports[k]
        if on >= 0:  # on the top of another thing: straight below its lowest point
            lowest = meshes[k].vertices[np.argmin(meshes[k].vertices[:, 2])]
            tree = TriangleBVH(*meshes[on])
            footprint = lowest + np.array([0.0, 0.0, 0.5])
            gap = tree.cast(footprint, np.array([[0.0, 0.0, -1.0]]))[0][0] - 0.5
            assert abs(gap) < 0.006, things[k].name
        elif things[k].name not in ('window', 'picture', 'curtain'):
            assert abs(low[2]) < 0.02, things[k].name
        for other in furniture:
            if other >= k:
                break
            near = (low < bounds[other][1]).all() and (bounds[other][0] < high).all()
            assert not near or not meshes_touch(meshes[k], meshes[other]), (
                things[k].name,
                things[other].name,
            )


def test_rooms_differ_and_repeat():
    first, again = make_room(4, 1), make_room(4, 1)
    np.testing.assert_array_equal(first.scene.vertices, again.scene.vertices)
    np.testing.assert_array_equal(first.scene.color, again.scene.color)
    assert {make_room(4, k).kind for k in range(12)} > {first.kind}
    assert len(make_room(5, 1).scene.vertices) != len(first.scene.vertices)
    with pytest.raises(ValueError, match='unknown kind'):
        make_room(0, 0, 'garage')
    with pytest.raises(ValueError, match='>= 0'):
        make_room(-1, 0)


def test_labels_are_those_of_scannet():
    mmdet3d = pytest.importorskip('mmdet3d.datasets')
    assert mmdet3d.ScanNetDataset.METAINFO['classes'] == BOX_CLASSES
    assert mmdet3d.ScanNetDataset.METAINFO['seg_valid_class_ids'] == BOX_LABELS
    assert mmdet3d.ScanNetSegDataset.METAINFO['classes'] == SEG_CLASSES
    assert mmdet3d.ScanNetSegDataset.METAINFO['seg_valid_class_ids'] == SEG_LABELS
    assert all(1 <= label <= 40 for label in NYU40.values())


def test_exact_scan_lies_on_the_surfaces():
    room = make_room(1, 0)
    exact = ScanParameters(num_frames=4, steps=2, image_size=(60, 80), depth_noise=0.0)
    scan = scan_room(room, exact, np.random.default_rng(0))
    assert scan.color.shape == (4, 60, 80, 3) and scan.depth.dtype == np.uint16
    # a scan sees no undersides: the rays from the cameras end where the points are
    rng = np.random.default_rng(0)
    some = rng.choice(len(scan.points), 200, replace=False)
    points = scan.points[some, :3].astype(np.float64)
    low = np.array([-room.size[0], -room.size[1], 0]) / (2, 2, 1)
    high = np.array([room.size[0] / 2, room.size[1] / 2, room.size[2]])
    assert (points > low - 0.002).all() and (points < high + 0.002).all()
    for k, point in zip(scan.object_index[some], points):
        mesh = room.scene.object_mesh(k)
        directions = np.concatenate([np.eye(3), -np.eye(3)])
        directions = np.concatenate([directions, rng.normal(size=(60, 3))])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        # rounding to millimetres, at a grazing ray a little more
        assert TriangleBVH(*mesh).cast(point, directions)[0].min() < 0.01
    with pytest.raises(ValueError, match='num_frames'):
        scan_room(room, exact._replace(num_frames=0), rng)


def test_boxes_hold_their_points():
    room = make_room(1, 3)
    scan = scan_room(room, ScanParameters(6, 1, (60, 80)), np.random.default_rng(0))
    whole, scan = scan, drop_slivers(room, scan)
    assert 0.9 * len(whole.points) < len(scan.points) <= len(whole.points)
    semantic, instance, boxes = label_points(room, scan)
    assert len(semantic) == len(instance) == len(scan.points)
    assert len(boxes) >= 3 and instance.min() >= 1
    for k, box in enumerate(boxes):
        mine = scan.points[instance == k + 1, :3]
        assert len(mine) >= 30
        center, size = np.array(box['bbox_3d'][:3]), np.array(box['bbox_3d'][3:])
        np.testing.assert_allclose(mine.min(0), center - size / 2, atol=1e-5)
        np.testing.assert_allclose(mine.max(0), center + size / 2, atol=1e-5)
        labels = np.unique(semantic[instance == k + 1])
        assert labels.tolist() == [BOX_LABELS[box['bbox_label_3d']]]
    # what belongs to no box is of no detection class
    assert not set(np.unique(semantic[instance > len(boxes)])) & set(BOX_LABELS)


# --------------------------------------------------------------------------- rendering


def test_textures_follow_the_surface_and_shadows_fall():
    """The same spot has the same colour from two sides; under a roof the ground is darker."""
    room = make_room(2, 0)
    eyes = torch.tensor([[0.9, 0.0, 1.6], [-0.9, 0.0, 1.6]], dtype=torch.float64)
    target = torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64)
    matrix = torch.tensor([[90.0, 0, 60], [0, 90, 45], [0, 0, 1]], dtype=torch.float64)
    cameras = Cameras(look_at(eyes, target)[None], matrix.expand(1, 2, 3, 3), (90, 120))
    views = render_scene(room.scene, cameras, Lighting(sun=0.0), supersample=1)
    floor = room.scene.face_object[views.face[0]] == 0
    depth = torch.from_numpy(views.depth).double()[None]
    world = cameras.unproject(depth)[0, 0][torch.from_numpy(floor)]
    uv, z = cameras.select_views(1).project(world[None])
    uv, z = uv[0, 0].numpy(), z[0, 0].numpy()
    inside = (uv > 1).all(1) & (uv < (119, 89)).all(1)
    column, row = uv[inside].astype(int).T
    seen = np.abs(views.depth[1][row, column] - z[inside]) < 0.02
    assert seen.sum() > 500
    first = views.rgb[0][floor][inside][seen].astype(float)
    second = views.rgb[1][row, column][seen].astype(float)
    assert np.median(np.abs(first - second)) < 8
    with pytest.raises(ValueError, match='supersample'):
        render_scene(room.scene, cameras, Lighting(), supersample=0)


def test_shadow_of_a_plate():
    from mm3dpretrain.datasets.synthetic.primitives import box
    from mm3dpretrain.datasets.synthetic.scene_mesh import Piece, SceneBuilder

    builder = SceneBuilder()
    builder.add('ground', 1, [Piece(box(20, 20, 0.1).move(z=-0.05), (200, 200, 200))])
    builder.add('plate', 2, [Piece(box(2, 2, 0.1).move(z=3), (200, 200, 200))])
    eye = torch.tensor([[0.0, -8.0, 1.5]], dtype=torch.float64)
    matrix = torch.tensor([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]], dtype=torch.float64)
    target = torch.zeros(3, dtype=torch.float64)
    cameras = Cameras(look_at(eye, target)[None], matrix[None, None], (120, 160))
    light = Lighting(ambient=0.3, sun=0.7, direction=(0.0, 0.0, 1.0))
    plain = render_scene(builder.finish(), cameras, light)
    shaded = render_scene(
        builder.finish(), cameras, light._replace(shadow_size=256, shadow_range=20.0)
    )
    darker = shaded.rgb[0].astype(int)[..., 0] < plain.rgb[0].astype(int)[..., 0] - 60
    spots = cameras.unproject(torch.from_numpy(shaded.depth).double()[None])[0, 0].numpy()
    shadow = spots[darker & (shaded.face[0] >= 0)]
    assert len(shadow) > 50
    assert np.abs(shadow[:, :2]).max() < 1.25 and np.abs(shadow[:, 2]).max() < 0.05
    np.testing.assert_array_equal(plain.depth, shaded.depth)
    with pytest.raises(ValueError, match='empty'):
        SceneBuilder().finish()


# --------------------------------------------------------------------------- the files


def test_layout(rooms):
    train, val = read(rooms, 'train'), read(rooms, 'val')
    assert [x['lidar_points']['lidar_path'] for x in val] == [
        'room0001_00.bin',
        'room0003_00.bin',
    ]
    assert (rooms / 'splits/train.txt').read_text().split() == [
        'room0000_00',
        'room0002_00',
        'room0004_00',
    ]
    assert len(train) == 3
    for info in train + val:
        points, semantic, instance = load(rooms, info)
        assert 5000 < len(points) <= 12000 and len(points) == len(semantic) == len(instance)
        assert np.isfinite(points).all()
        assert points[:, 3:].min() >= 0 and points[:, 3:].max() <= 255
        assert set(np.unique(semantic)) <= set(NYU40.values())
        assert {1, 2} <= set(np.unique(semantic))  # wall and floor
        np.testing.assert_array_equal(info['axis_align_matrix'], np.eye(4))
        name = info['lidar_points']['lidar_path'][:-4]
        for color, depth, _, _ in frames(rooms, name):
            assert color.shape == (120, 160, 3) and depth.shape == (120, 160)
            assert 0.6 < (depth > 0).mean() <= 1 and depth.max() < 8.1
    indices = np.load(rooms / 'seg_info/train_resampled_scene_idxs.npy')
    assert set(indices) == {0, 1, 2}
    assert np.load(rooms / 'seg_info/train_label_weight.npy').shape == (20,)
    assert not list(rooms.rglob('*.tmp*'))


def test_frames_and_cloud_agree(rooms):
    """Every point of the cloud is what some pixel of some frame measured, with its colour."""
    for info in read(rooms, 'val'):
        points, _, _ = load(rooms, info)
        found = np.zeros(len(points), bool)
        coloured = np.zeros(len(points), bool)
        for color, depth, to_camera, matrix in frames(
            rooms, info['lidar_points']['lidar_path'][:-4]
        ):
            cam = points[:, :3] @ to_camera[:3, :3].T + to_camera[:3, 3]
            uv = cam[:, :2] / cam[:, 2:] @ matrix[:2, :2].T + matrix[:2, 2]
            inside = (cam[:, 2] > 0.1) & (uv >= 0).all(1) & (uv < (160, 120)).all(1)
            column, row = uv[inside].astype(int).T
            same = np.abs(depth[row, column] - cam[inside, 2]) < 0.0006
            exact = np.abs(uv[inside] - np.floor(uv[inside]) - 0.5).max(1) < 0.01
            same &= exact
            hit = np.flatnonzero(inside)[same]
            found[hit] = True
            gap = np.abs(color[row, column][same] - points[hit, 3:]).max(1)
            coloured[hit[gap == 0]] = True
        assert found.mean() > 0.999
        assert coloured.mean() > 0.999


def test_frames_overlap(rooms):
    """Neighbouring frames see some of the same: MVNet's pairs need it."""
    shares = []
    for info in read(rooms, 'train'):
        views = list(frames(rooms, info['lidar_points']['lidar_path'][:-4]))
        for (_, first, pose, matrix), (_, second, other, _) in zip(views, views[1:]):
            row, column = np.nonzero(first)
            rays = np.column_stack([column + 0.5, row + 0.5, np.ones(len(row))])
            local = rays @ np.linalg.inv(matrix).T * first[row, column, None]
            world = (local - pose[:3, 3]) @ pose[:3, :3]
            cam = world @ other[:3, :3].T + other[:3, 3]
            uv = cam[:, :2] / np.maximum(cam[:, 2:], 1e-6) @ matrix[:2, :2].T + matrix[:2, 2]
            inside = (cam[:, 2] > 0.1) & (uv >= 0).all(1) & (uv < (160, 120)).all(1)
            column, row = uv[inside].astype(int).T
            shares.append((np.abs(second[row, column] - cam[inside, 2]) < 0.08).sum() / len(cam))
    assert np.mean(np.array(shares) > 0.3) > 0.5


def test_same_bytes_for_any_number_of_workers(rooms, tmp_path):
    again = tmp_path / 'two'
    assert write_synthetic_rooms(again, workers=2, **SMALL)['written'] == 5
    assert tree(again) == tree(rooms)
    assert write_synthetic_rooms(again, workers=2, **SMALL)['written'] == 0
    # a room does not depend on how many there are
    more = tmp_path / 'more'
    write_synthetic_rooms(more, workers=1, **{**SMALL, 'train': 1, 'val': 1})
    for path in ('points/room0001_00.bin', 'scans/room0000_00/color/3.png'):
        assert (more / path).read_bytes() == (rooms / path).read_bytes()


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(train=0, val=0), 'nothing to write'),
        (dict(frames=0), 'frames must be at least 1'),
        (dict(image_size=(8, 8)), 'image_size'),
        (dict(depth_noise=-1), 'depth_noise'),
        (dict(workers=0), 'workers must be at least 1'),
    ],
)
def test_wrong_parameters(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_synthetic_rooms(tmp_path / 'out', **{**SMALL, **wrong})


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / 'file').write_text('something')
    with pytest.raises(FileExistsError, match='not empty'):
        write_synthetic_rooms(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ['file']
    (tmp_path / 'synthetic_rooms.json').write_text('{')
    with pytest.raises(ValueError, match='is damaged'):
        write_synthetic_rooms(tmp_path, **SMALL)


# --------------------------------------------------------------------------- mmdet3d


def build(root: Path, kind: str, pipeline: list, split: str, **options):
    pytest.importorskip('mmdet3d')
    from mmdet3d.registry import DATASETS
    from mmdet3d.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    config = dict(
        type=kind,
        data_root=str(root),
        ann_file=f'rooms_infos_{split}.pkl',
        data_prefix=dict(
            pts='points', pts_instance_mask='instance_mask', pts_semantic_mask='semantic_mask'
        ),
        pipeline=pipeline,
    )
    return DATASETS.build({**config, **options})


def test_votenet_pipeline(rooms):
    """The training pipeline of mmdet3d's ScanNet detection configs."""
    pipeline = [
        dict(type='LoadPointsFromFile', coord_type='DEPTH', shift_height=True, load_dim=6,
             use_dim=[0, 1, 2]),
        dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True, with_mask_3d=True,
             with_seg_3d=True),
        dict(type='GlobalAlignment', rotation_axis=2),
        dict(type='PointSegClassMapping'),
        dict(type='PointSample', num_points=4000),
        dict(type='RandomFlip3D', sync_2d=False, flip_ratio_bev_horizontal=0.5,
             flip_ratio_bev_vertical=0.5),
        dict(type='GlobalRotScaleTrans', rot_range=[-0.087266, 0.087266],
             scale_ratio_range=[1.0, 1.0], shift_height=True),
        dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d',
                                           'pts_semantic_mask', 'pts_instance_mask']),
    ]  # fmt: skip
    dataset = build(rooms, 'ScanNetDataset', pipeline, 'train', metainfo=dict(classes=BOX_CLASSES))
    assert len(dataset) == 3
    for item in dataset:
        assert tuple(item['inputs']['points'].shape) == (4000, 4)
        sample = item['data_samples']
        count = len(sample.gt_instances_3d.labels_3d)
        assert count == len(sample.gt_instances_3d.bboxes_3d) > 3
        instance = np.asarray(sample.gt_pts_seg.pts_instance_mask)
        semantic = np.asarray(sample.gt_pts_seg.pts_semantic_mask)
        # what VoteNet takes for foreground are the points of the boxes
        assert instance[semantic < 18].max() <= count
        for k in np.unique(instance[semantic < 18]):
            labels = np.unique(semantic[instance == k])
            assert labels.tolist() == [int(sample.gt_instances_3d.labels_3d[k - 1])]


def test_segmentation_pipeline(rooms):
    """The training and evaluation pipelines of mmdet3d's ScanNet segmentation configs."""
    points = dict(type='LoadPointsFromFile', coord_type='DEPTH', shift_height=False,
                  use_color=True, load_dim=6, use_dim=[0, 1, 2, 3, 4, 5])  # fmt: skip
    masks = dict(type='LoadAnnotations3D', with_bbox_3d=False, with_label_3d=False,
                 with_mask_3d=False, with_seg_3d=True)  # fmt: skip
    color = dict(type='NormalizePointsColor', color_mean=None)
    patch = dict(type='IndoorPatchPointSample', num_points=1024, block_size=1.5,
                 ignore_index=20, use_normalized_coord=False, enlarge_size=0.2,
                 min_unique_num=None)  # fmt: skip
    pack = dict(type='Pack3DDetInputs', keys=['points', 'pts_semantic_mask'])
    options = dict(metainfo=dict(classes=SEG_CLASSES), ignore_index=20)
    pipeline = [points, masks, dict(type='PointSegClassMapping'), patch, color, pack]
    indices = 'seg_info/train_resampled_scene_idxs.npy'
    dataset = build(rooms, 'ScanNetSegDataset', pipeline, 'train', scene_idxs=indices, **options)
    for index in range(3):
        item = dataset[index]
        assert tuple(item['inputs']['points'].shape) == (1024, 6)
        mask = item['data_samples'].gt_pts_seg.pts_semantic_mask
        assert mask.min() >= 0 and mask.max() <= 20 and (np.asarray(mask) < 20).mean() > 0.5

    # mmdet3d 1.4's own ScanNet config leaves the mapping out here, and its SegMetric then compares
    # classes with NYU40 labels
    mapping = dict(type='PointSegClassMapping')
    pipeline = [points, masks, mapping, color, dict(type='Pack3DDetInputs', keys=['points'])]
    val = build(rooms, 'ScanNetSegDataset', pipeline, 'val', test_mode=True, **options)
    from mmdet3d.evaluation import SegMetric

    metric = SegMetric()
    metric.dataset_meta = val.metainfo
    samples = []
    for index in range(len(val)):
        truth = val[index]['data_samples'].eval_ann_info['pts_semantic_mask']
        guess = np.where(np.asarray(truth) == 20, 0, truth)
        sample = dict(eval_ann_info=dict(pts_semantic_mask=np.asarray(truth)))
        sample['pred_pts_seg'] = dict(pts_semantic_mask=torch.from_numpy(guess))
        samples.append(sample)
    metric.process({}, samples)
    results = metric.evaluate(len(samples))
    assert results['acc'] == pytest.approx(1.0, abs=1e-6)
    assert results['wall'] == pytest.approx(1.0, abs=1e-6)


def test_ground_truth_has_full_average_precision(rooms):
    """The boxes themselves, as detections, find everything: IndoorMetric gives 1."""
    pytest.importorskip('mmdet3d')
    from mmdet3d.evaluation import IndoorMetric
    from mmdet3d.structures import DepthInstance3DBoxes

    options = dict(metainfo=dict(classes=BOX_CLASSES), test_mode=True)
    dataset = build(rooms, 'ScanNetDataset', [], 'val', **options)
    metric = IndoorMetric(iou_thr=[0.25, 0.5])
    metric.dataset_meta = dataset.metainfo
    samples, labels = [], []
    for index in range(len(dataset)):
        truth = dataset.get_data_info(index)['eval_ann_info']
        boxes = DepthInstance3DBoxes(
            truth['gt_bboxes_3d'].tensor, box_dim=7, with_yaw=True, origin=(0.5, 0.5, 0)
        )
        label = torch.from_numpy(truth['gt_labels_3d'])
        labels.append(label)
        found = dict(bboxes_3d=boxes, labels_3d=label, scores_3d=torch.ones(len(label)))
        samples.append(dict(pred_instances_3d=found, eval_ann_info=truth))
    metric.process({}, samples)
    results = metric.evaluate(len(samples))
    for k in torch.unique(torch.cat(labels)).tolist():
        assert results[f'{BOX_CLASSES[k]}_AP_0.25'] == pytest.approx(1.0)
        assert results[f'{BOX_CLASSES[k]}_AP_0.50'] == pytest.approx(1.0)


@pytest.mark.parametrize('name', ['det', 'seg'])
def test_config_bases(rooms, name):
    """The data configs build their loaders' data sets, and items come out of both splits."""
    pytest.importorskip('mmdet3d')
    from mmdet3d.registry import DATASETS
    from mmdet3d.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    config = Config.fromfile(CONFIGS / f'synthetic_rooms_{name}.py')
    for split in ('train', 'val', 'test'):
        dataset = config[f'{split}_dataloader'].dataset
        dataset = dataset.get('dataset', dataset)
        assert dataset.data_root == 'data/synthetic_rooms/'
        assert f'rooms_infos_{"train" if split == "train" else "val"}' in dataset.ann_file
        dataset.data_root = str(rooms)
        built = DATASETS.build(dataset)
        assert len(built) == (3 if split == 'train' else 2)
        assert built[0]['inputs']['points'].ndim == 2
