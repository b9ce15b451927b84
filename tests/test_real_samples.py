"""Every real sample goes through mmdet3d: its loader, a small model with random weights, a picture.

Boxes and frames of reference are checked against what else is known of a sample: points inside the
boxes, labels in the pictures, pixels that points come from.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

pytest.importorskip('mmdet3d')

import mmdet3d
from mmdet3d.registry import DATASETS, MODELS
from mmdet3d.structures import DepthInstance3DBoxes, LiDARInstance3DBoxes
from mmdet3d.utils import register_all_modules

from mm3dpretrain.compat import set_cpu_ops
from mm3dpretrain.datasets.kitti_infos import write_kitti_infos
from mm3dpretrain.visualization.boxes import boxes_in_picture, projected_rectangle
from tools.visualization.browse_detection import draw_sample, predict, record_of

OURS = Path(__file__).resolve().parents[1] / 'configs/downstream/mmdet3d'
THEIRS = Path(mmdet3d.__file__).parent / '.mim/configs'
KITTI_CLASSES = ['Pedestrian', 'Cyclist', 'Car']


@pytest.fixture(autouse=True)
def _mmdet3d_scope():
    register_all_modules(init_default_scope=False)
    set_cpu_ops('on')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield
    set_cpu_ops(None)


def folder_of(data_root: Path, name: str) -> Path:
    if not (data_root / name).is_dir():
        pytest.skip(f'no {name} in {data_root}')
    return data_root / name


def config_of(path: Path, options: dict | None = None) -> Config:
    config = Config.fromfile(path)
    config.merge_from_dict(options or {})
    return config


def build(model: dict) -> torch.nn.Module:
    """A model in eval mode, without weights of any other training."""
    torch.manual_seed(0)
    return MODELS.build(ConfigDict(without_init(model))).eval()


def without_init(node):
    if isinstance(node, dict):
        return {k: without_init(v) for k, v in node.items() if k != 'init_cfg'}
    return type(node)(map(without_init, node)) if isinstance(node, (list, tuple)) else node


def dump(path: Path, frames: list[dict], dataset: str) -> None:
    meta = dict(dataset=dataset, info_version='1.1', categories={})
    path.write_bytes(pickle.dumps(dict(metainfo=meta, data_list=frames)))


def overlap(a, b) -> float:
    """IoU of two rectangles left, top, right, bottom."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(common / (sum(area) - common))


def check_boxes(found, size: int) -> None:
    """Boxes that random weights find are none, or finite ones of the right width."""
    assert found.tensor.shape[1] == size
    assert found.tensor.isfinite().all()


def check_picture(picture: np.ndarray, size: int, cameras: int) -> None:
    """A sheet with points, and as many camera pictures as there are."""
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    from_above = picture[:size, :size]
    assert ((from_above != 255).any(-1)).mean() > 0.01
    if cameras:
        assert picture.shape[1] > size and picture[:, size + 8 :].std() > 20
    else:
        assert picture.shape == (size, size, 3)


# --------------------------------------------------------------------------- KITTI

CORNER = {  # a corner of the range, so that MVX-Net is quick
    'model.data_preprocessor.voxel_layer.point_cloud_range': [0, -12.8, -3, 25.6, 12.8, 1],
    'model.pts_voxel_encoder.point_cloud_range': [0, -12.8, -3, 25.6, 12.8, 1],
    'model.data_preprocessor.voxel_layer.voxel_size': [0.1, 0.1, 0.1],
    'model.pts_voxel_encoder.voxel_size': [0.1, 0.1, 0.1],
    'model.pts_middle_encoder.sparse_shape': [41, 256, 256],
    'model.img_backbone.depth': 18,
    'model.img_backbone.base_channels': 16,
    'model.img_neck.in_channels': [16, 32, 64, 128],
    'model.img_neck.out_channels': 32,
    'model.pts_voxel_encoder.fusion_layer.img_channels': 32,
    'model.pts_backbone.layer_nums': [1, 1],
    'model.pts_bbox_head.anchor_generator.ranges': [
        [0, -12.8, -0.6, 25.6, 12.8, -0.6],
        [0, -12.8, -0.6, 25.6, 12.8, -0.6],
        [0, -12.8, -1.78, 25.6, 12.8, -1.78],
    ],
    'model.test_cfg.pts.score_thr': 0.0,
    'model.test_cfg.pts.nms_pre': 20,
}
MVXNET = THEIRS / 'mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py'


@pytest.fixture
def kitti(data_root, tmp_path) -> Path:
    """The labelled frames, with info files; the real files are not touched."""
    source = folder_of(data_root, 'kitti_mini')
    for name in ('training', 'ImageSets'):
        (tmp_path / name).symlink_to(source / name)
    write_kitti_infos(tmp_path)
    return tmp_path


def kitti_dataset(root: Path, config: Config, split: str, folder: str = 'training'):
    return DATASETS.build(
        dict(
            config.test_dataloader.dataset,
            data_root=str(root) + '/',
            ann_file=f'kitti_infos_{split}.pkl',
            data_prefix=dict(pts=f'{folder}/velodyne_reduced', img=f'{folder}/image_2'),
            metainfo=dict(classes=KITTI_CLASSES),
            load_eval_anns=folder == 'training',
        )
    )


def test_kitti_frames_with_pointpillars(kitti):
    config = config_of(
        OURS / 'pointpillars_tiny_1xb3-120e_kitti-mini.py',
        {'model.test_cfg.score_thr': 0.0, 'model.test_cfg.nms_pre': 20},
    )
    model, dataset = build(config.model), kitti_dataset(kitti, config, 'trainval')
    assert len(dataset) == 12
    checked = 0
    for index in range(12):
        item, record = dataset[index], record_of(dataset, index)
        boxes = record['eval_ann_info']['gt_bboxes_3d']
        points = item['inputs']['points']
        # in the LiDAR frame the boxes, a little less tilted there, hold about as many points as the
        # info file counted in the camera's
        owner = boxes.points_in_boxes_part(points[:, :3])
        camera = record['images']['CAM2']
        shape = (camera['height'], camera['width'])
        known = [one for one in record['instances'] if 0 <= one['bbox_label'] < 3]
        assert len(known) == len(boxes)
        for row, one in enumerate(known):
            if one['depth'] > 40 or one['difficulty'] != 0:
                continue
            assert (owner == row).sum() == pytest.approx(one['num_lidar_pts'], abs=5, rel=0.15)
            drawn = projected_rectangle(boxes.corners[row].numpy(), camera['lidar2img'], shape)
            assert overlap(drawn, one['bbox']) > 0.7
            checked += 1
        found = predict(model, item, 0.0)
        check_boxes(found, 7)
        assert len(found) > 0
        check_picture(draw_sample(item, record, found, 256), 256, cameras=1)
    assert checked > 5


def test_kitti_frames_with_mvxnet(kitti):
    pytest.importorskip('spconv', reason='MVX-Net needs spconv: pip install spconv')
    config = config_of(MVXNET, CORNER)
    model, dataset = build(config.model), kitti_dataset(kitti, config, 'trainval')
    for index in range(12):
        item = dataset[index]
        assert item['inputs']['img'].shape[0] == 3
        found = predict(model, item, 0.0)
        check_boxes(found, 7)
        check_picture(draw_sample(item, record_of(dataset, index), found, 256), 256, cameras=1)


def test_raw_sequence_with_mvxnet(data_root, tmp_path):
    """29 pairs without labels; the points lie in the picture."""
    pytest.importorskip('spconv', reason='MVX-Net needs spconv: pip install spconv')
    source = folder_of(data_root, 'kitti_raw_seq') / 'training'
    (tmp_path / 'testing/image_2').mkdir(parents=True)
    (tmp_path / 'ImageSets').mkdir()
    for name in ('calib', 'velodyne_reduced'):
        (tmp_path / 'testing' / name).symlink_to(source / name)
    pictures = sorted((source / 'image_2').glob('*.jpg'))
    for path in pictures:  # KITTI's lists mean PNG files; readers look at the content
        (tmp_path / 'testing/image_2' / f'{path.stem}.png').symlink_to(path)
    (tmp_path / 'ImageSets/test.txt').write_text('\n'.join(path.stem for path in pictures))
    assert write_kitti_infos(tmp_path) == dict(test=29)
    config = config_of(MVXNET, CORNER)
    config.test_dataloader.dataset.modality = dict(use_lidar=True, use_camera=True)
    model, dataset = build(config.model), kitti_dataset(tmp_path, config, 'test', 'testing')
    for index in range(29):
        item, record = dataset[index], record_of(dataset, index)
        points = np.fromfile(record['lidar_path'], np.float32).reshape(-1, 4)[:, :3]
        camera = record['images']['CAM2']
        pixels = points @ np.array(camera['lidar2img'])[:3, :3].T
        pixels += np.array(camera['lidar2img'])[:3, 3]
        uv = pixels[:, :2] / pixels[:, 2:]
        inside = ((uv >= -1) & (uv <= [camera['width'], camera['height']])).all(1)
        assert (pixels[:, 2] > 0).all() and inside.mean() > 0.99
        check_boxes(predict(model, item, 0.0), 7)
        if index % 7 == 0:  # a picture each: as those of the labelled frames
            check_picture(draw_sample(item, record, None, 256), 256, cameras=1)


@pytest.mark.parametrize('name', ['kitti_mini', 'kitti_raw_seq'])
def test_whole_sweeps_with_minkunet(data_root, name):
    pytest.importorskip('spconv', reason='MinkUNet needs spconv: pip install spconv')
    (path,) = sorted(folder_of(data_root, name).glob('training/velodyne/*.bin'))
    points = torch.from_numpy(np.fromfile(path, np.float32).reshape(-1, 4).copy())
    assert len(points) > 100_000
    check_minkunet(points)


def check_minkunet(points: torch.Tensor) -> None:
    """A label for every point (N, 4)."""
    config = config_of(
        OURS / 'minkunet34_8xb2-36e_nuscenes-seg_scratch.py',
        {
            'model.backbone.base_channels': 8,
            'model.backbone.encoder_channels': [8, 8, 8, 8],
            'model.backbone.decoder_channels': [8, 8, 8, 8],
            'model.backbone.encoder_blocks': [1, 1, 1, 1],
            'model.backbone.decoder_blocks': [1, 1, 1, 1],
            'model.decode_head.channels': 8,
        },
    )
    sample = mmdet3d.structures.Det3DDataSample()
    sample.gt_pts_seg = mmdet3d.structures.PointData(
        pts_semantic_mask=torch.zeros(len(points), dtype=torch.long)
    )
    batch = dict(inputs=dict(points=[points]), data_samples=[sample])
    (found,) = build(config.model).test_step(batch)
    labels = found.pred_pts_seg.pts_semantic_mask
    assert labels.shape == (len(points),) and 0 <= int(labels.min()) <= int(labels.max()) < 16


# --------------------------------------------------------------------------- nuScenes


@pytest.fixture
def nuscenes(data_root, tmp_path) -> Path:
    source = folder_of(data_root, 'nuscenes_demo')
    (infos,) = source.glob('*.pkl')
    content = pickle.loads(infos.read_bytes())
    (tmp_path / 'samples/LIDAR_TOP').mkdir(parents=True)
    for path in source.glob('*__LIDAR_TOP__*'):
        (tmp_path / 'samples/LIDAR_TOP' / path.name).symlink_to(path)
    for path in source.glob('*__CAM_*'):
        (tmp_path / 'samples' / path.name.split('__')[1]).mkdir()
        (tmp_path / 'samples' / path.name.split('__')[1] / path.name).symlink_to(path)
    (tmp_path / 'nuscenes_infos_val.pkl').write_bytes(pickle.dumps(content))
    return tmp_path


def test_nuscenes_with_centerpoint(nuscenes):
    pytest.importorskip('spconv', reason='CenterPoint needs spconv: pip install spconv')
    config = config_of(
        OURS / 'centerpoint_lidarbev_8xb4-20e_nuscenes_scratch.py',
        {
            'model.pts_middle_encoder.encoder_channels': [[8, 8, 8], [8, 8, 8], [8, 8, 8], [8, 8]],
            'model.pts_middle_encoder.base_channels': 8,
            'model.pts_middle_encoder.output_channels': 8,
            'model.pts_backbone.in_channels': 16,
            'model.pts_backbone.out_channels': [16, 16],
            'model.pts_backbone.layer_nums': [1, 1],
            'model.pts_neck.in_channels': [16, 16],
            'model.pts_neck.out_channels': [16, 16],
            'model.pts_bbox_head.in_channels': 32,
            'model.pts_bbox_head.bbox_coder.score_threshold': 0.0,
            'model.pts_bbox_head.bbox_coder.max_num': 20,
            'model.test_cfg.pts.score_threshold': 0.0,
            'test_dataloader.dataset.data_root': str(nuscenes) + '/',
        },
    )
    dataset = DATASETS.build(config.test_dataloader.dataset)
    item, record = dataset[0], record_of(dataset, 0)
    # the scan itself; the earlier ones are not there
    points = item['inputs']['points']
    assert points.shape[1] == 5 and float(points[:, 3].max()) <= 1

    boxes = record['eval_ann_info']['gt_bboxes_3d']
    hit = [one for one in record['instances'] if one['num_lidar_pts'] > 0]
    assert len(record['instances']) == 69 and len(boxes) == len(hit) == 66
    raw = np.fromfile(record['lidar_path'], np.float32).reshape(-1, 5)[:, :3].copy()
    solid = LiDARInstance3DBoxes(boxes.tensor[:, :7])  # without velocities
    counted = solid.points_in_boxes_all(torch.from_numpy(raw)).sum(0).numpy()
    stored = np.array([one['num_lidar_pts'] for one in hit])
    assert (np.abs(counted - stored) <= 3).mean() > 0.9 and stored.sum() > 500

    overlaps = []
    for name, camera in record['images'].items():
        projection = np.array(camera['cam2img']) @ np.array(camera['lidar2cam'])[:3]
        corners = boxes.corners.numpy()
        drawn = [projected_rectangle(box, projection, (900, 1600)) for box in corners]
        drawn = [box for box in drawn if box is not None]
        for one in record['cam_instances'][name]:
            left, top, right, bottom = one['bbox']
            if (right - left) * (bottom - top) > 400:
                overlaps.append(max(overlap(box, one['bbox']) for box in drawn))
    # a few labels are of boxes that no beam hit, which mmdet3d leaves out
    assert len(overlaps) > 50 and np.mean(overlaps) > 0.85 and np.quantile(overlaps, 0.1) > 0.7

    found = predict(build(config.model), item, 0.0)
    check_boxes(found, 9)
    assert len(found) > 0
    check_picture(draw_sample(item, record, found, 256), 256, cameras=6)


def test_nuscenes_pictures_with_fcos3d(nuscenes):
    config = config_of(
        THEIRS / 'fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py',
        {
            'model.backbone.depth': 18,
            'model.backbone.base_channels': 8,
            'model.backbone.dcn': None,
            'model.backbone.stage_with_dcn': [False] * 4,
            'model.neck.in_channels': [8, 16, 32, 64],
            'model.neck.out_channels': 32,
            'model.bbox_head.in_channels': 32,
            'model.bbox_head.feat_channels': 32,
            'model.test_cfg.score_thr': 0.0,
            'model.test_cfg.nms_pre': 20,
            'test_dataloader.dataset.data_root': str(nuscenes) + '/',
        },
    )
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'mmdet.Resize':
            step.scale_factor = 0.25
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert len(dataset) == 6
    model = build(config.model)
    for index in range(6):
        item, record = dataset[index], record_of(dataset, index)
        assert item['inputs']['img'].shape == (3, 225, 400)
        found = predict(model, item, 0.0)
        check_boxes(found, 9)
        sheet = draw_sample(item, record, found, 256)
        assert sheet.shape[1] > 256 and sheet[:, 264:].std() > 20
        # the labels of the camera, in its own frame
        truth = record['eval_ann_info']['gt_bboxes_3d']
        (camera,) = [one for one in record['images'].values() if one.get('img_path')]
        for box, one in zip(truth.corners.numpy(), record['instances']):
            left, top, right, bottom = one['bbox']
            if (right - left) * (bottom - top) > 400:
                drawn = projected_rectangle(box, camera['cam2img'], (900, 1600))
                assert overlap(drawn, one['bbox']) > 0.5


def test_nuscenes_with_minkunet(nuscenes):
    pytest.importorskip('spconv', reason='MinkUNet needs spconv: pip install spconv')
    (path,) = (nuscenes / 'samples/LIDAR_TOP').iterdir()
    points = np.fromfile(path, np.float32).reshape(-1, 5)[:, :4] * [1, 1, 1, 1 / 255]
    check_minkunet(torch.from_numpy(points.astype(np.float32)))


# --------------------------------------------------------------------------- rooms

VOTENET = OURS / 'votenet_pointtransformer-tiny_1xb4-8e_synthetic-rooms_scratch.py'


def test_scannet_cloud_with_votenet(data_root, tmp_path):
    source = folder_of(data_root, 'indoor_demo') / 'scannet'
    clouds = sorted(source.glob('*.bin'))
    assert clouds
    (tmp_path / 'points').mkdir()
    frames = []
    for path in clouds:
        (tmp_path / 'points' / path.name).symlink_to(path)
        frames.append(
            dict(
                lidar_points=dict(num_pts_feats=6, lidar_path=path.name),
                pts_instance_mask_path=path.name,
                pts_semantic_mask_path=path.name,
                axis_align_matrix=np.eye(4).tolist(),
                instances=[],
            )
        )
    dump(tmp_path / 'rooms_infos_val.pkl', frames, 'scannet')
    config = config_of(VOTENET, {'test_dataloader.dataset.data_root': str(tmp_path) + '/'})
    dataset, model = DATASETS.build(config.test_dataloader.dataset), build(config.model)
    for index in range(len(clouds)):
        item = dataset[index]
        assert item['inputs']['points'].shape == (8192, 4)
        # the fourth channel is the height over the floor
        points = item['inputs']['points']
        assert np.corrcoef(points[:, 2], points[:, 3])[0, 1] > 0.999
        found = predict(model, item, 0.0)
        check_boxes(found, 7)
        assert len(found) > 0
        check_picture(draw_sample(item, record_of(dataset, index), found, 256), 256, cameras=0)


def sunrgbd_dataset(root: Path):
    """SUN RGB-D with mmdet3d's test pipeline; pictures are only drawn on."""
    config = config_of(THEIRS / 'votenet/votenet_8xb16_sunrgbd-3d.py')
    config.test_dataloader.dataset.update(data_root=str(root) + '/')
    return DATASETS.build(config.test_dataloader.dataset)


def sunrgbd_model():
    """mmdet3d's VoteNet for SUN RGB-D on the small point transformer."""
    config = config_of(THEIRS / 'votenet/votenet_8xb16_sunrgbd-3d.py')
    config.model.backbone = config_of(VOTENET).model.backbone
    config.model.bbox_head.vote_module_cfg.update(in_channels=128, conv_channels=(128, 128))
    config.model.bbox_head.vote_aggregation_cfg.mlp_channels = [128, 128, 128, 128]
    return build(config.model)


def test_sunrgbd_sample_with_votenet(data_root, tmp_path):
    source = folder_of(data_root, 'indoor_demo') / 'sunrgbd'
    (infos,) = source.glob('*.pkl')
    content = pickle.loads(infos.read_bytes())
    for folder, pattern in (('points', '*.bin'), ('sunrgbd_trainval/image', '*.jpg')):
        (tmp_path / folder).mkdir(parents=True)
        for path in source.glob(pattern):
            (tmp_path / folder / path.name).symlink_to(path)
    dump(tmp_path / 'sunrgbd_infos_val.pkl', content['data_list'], 'sunrgbd')
    dataset, model = sunrgbd_dataset(tmp_path), sunrgbd_model()
    assert len(dataset) == len(content['data_list'])
    for index in range(len(dataset)):
        item, record = dataset[index], record_of(dataset, index)
        boxes = record['eval_ann_info']['gt_bboxes_3d']
        counts = boxes.points_in_boxes_all(item['inputs']['points'][:, :3]).sum(0)
        assert len(boxes) == 2 and (counts > 200).all()
        camera = record['images']['CAM0']
        shape = (camera['height'], camera['width'])
        for box, one in zip(boxes.corners.numpy(), record['instances']):
            drawn = projected_rectangle(box, camera['depth2img'], shape)
            assert overlap(drawn, one['bbox']) > 0.5
        found = predict(model, item, 0.0)
        check_boxes(found, 7)
        assert len(found) > 0
        check_picture(draw_sample(item, record, found, 256), 256, cameras=1)


# z up, y forward of SUN RGB-D against the camera's axes
TO_CAMERA = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def test_sunrgbd_frames_with_votenet(data_root, tmp_path):
    """Depth pictures become clouds of the frame that boxes have; pixels come back."""
    source = folder_of(data_root, 'indoor_demo') / 'sunrgbd_toy/images'
    (tmp_path / 'points').mkdir()
    (tmp_path / 'sunrgbd_trainval/image').mkdir(parents=True)
    frames, pixels = [], []
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (picture,) = (folder / 'image').glob('*.jpg')
        (stored,) = (folder / 'depth_bfx').glob('*.png')
        depth = cv2.imread(str(stored), cv2.IMREAD_UNCHANGED).astype(np.uint16)
        depth = ((depth >> 3) | (depth << 13)) / 1000.0  # bits are rotated by three
        lens = np.loadtxt(folder / 'intrinsics.txt').reshape(3, 3)
        (pose,) = (folder / 'extrinsics').glob('*.txt')
        tilt = np.loadtxt(pose)[:, :3]
        rows, columns = np.nonzero((depth > 0.3) & (depth < 8))
        uv = np.stack([columns, rows], 1).astype(np.float64)
        rays = np.concatenate([uv, np.ones((len(uv), 1))], 1) @ np.linalg.inv(lens).T
        seen = rays * depth[rows, columns][:, None]
        cloud = seen @ TO_CAMERA @ tilt.T
        colors = cv2.imread(str(picture))[rows, columns, ::-1] / 255.0
        name = f'{len(frames):06d}'
        np.concatenate([cloud, colors], 1).astype(np.float32).tofile(
            tmp_path / f'points/{name}.bin'
        )
        (tmp_path / f'sunrgbd_trainval/image/{name}.jpg').symlink_to(picture)
        camera = dict(
            img_path=f'{name}.jpg', height=depth.shape[0], width=depth.shape[1],
            depth2img=(lens @ TO_CAMERA @ tilt.T).tolist(),
        )  # fmt: skip
        lidar = dict(num_pts_feats=6, lidar_path=f'{name}.bin')
        frames.append(dict(images=dict(CAM0=camera), lidar_points=lidar, instances=[]))
        pixels.append(uv)
    assert len(frames) == 2
    dump(tmp_path / 'sunrgbd_infos_val.pkl', frames, 'sunrgbd')
    dataset, model = sunrgbd_dataset(tmp_path), sunrgbd_model()
    for index, uv in enumerate(pixels):
        item, record = dataset[index], record_of(dataset, index)
        cloud = np.fromfile(tmp_path / f'points/{index:06d}.bin', np.float32).reshape(-1, 6)
        back = cloud[:, :3] @ np.array(record['images']['CAM0']['depth2img']).T
        np.testing.assert_allclose(back[:, :2] / back[:, 2:], uv, atol=0.02)
        found = predict(model, item, 0.0)
        check_boxes(found, 7)
        assert len(found) > 0
        check_picture(draw_sample(item, record, found, 256), 256, cameras=1)


def test_sunrgbd_labels_lie_on_their_objects(data_root):
    """Boxes of a VoteNet-style label file, projected by its calibration, meet the 2D labels."""
    root = folder_of(data_root, 'indoor_demo') / 'sunrgbd_toy/sunrgbd_trainval'
    labels = sorted((root / 'label').glob('*.txt'))
    assert labels
    for path in labels:
        tilt, lens = (
            np.array([float(v) for v in line.split()]).reshape(3, 3, order='F')
            for line in (root / 'calib' / path.name).read_text().splitlines()[:2]
        )
        picture = cv2.imread(str(root / 'image' / f'{path.stem}.jpg'))
        projection = lens @ TO_CAMERA @ tilt.T
        overlaps, tables = [], []
        for line in path.read_text().splitlines():
            v = [float(value) for value in line.split()[1:]]
            width, length, height = 2 * v[7], 2 * v[8], 2 * v[9]
            tables.append([*v[4:7], length, width, height, np.arctan2(v[11], v[10])])
            left, top = v[:2]
            overlaps.append([left, top, left + v[2], top + v[3]])
        boxes = DepthInstance3DBoxes(np.array(tables, np.float32), origin=(0.5, 0.5, 0.5))
        assert len(boxes) == 6
        shares = [
            overlap(projected_rectangle(box, projection, picture.shape[:2]), label)
            for box, label in zip(boxes.corners.numpy(), overlaps)
        ]
        # 2D labels end where other furniture stands in front
        assert np.mean(shares) > 0.5 and min(shares) > 0.2, shares
        drawn = boxes_in_picture(picture, [(boxes.corners.numpy(), (255, 0, 0))], projection)
        assert 500 < (drawn != picture).any(-1).sum() < drawn[..., 0].size / 2
