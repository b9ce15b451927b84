# LiDAR detection on SyntheticStreets: mmdet3d's KITTI data, other files.
# tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets
#
# Objects are not pasted from other frames: one writes as many streets as one likes. The files for
# it (kitti_dbinfos_train.pkl) are there.
_base_ = ['mmdet3d::_base_/datasets/kitti-3d-3class.py']

data_root = 'data/synthetic_streets/'
point_cloud_range = [0, -40, -3, 70.4, 40, 1]
train_pipeline = [
    dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4),
    dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
    dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
    dict(
        type='GlobalRotScaleTrans',
        rot_range=[-0.78539816, 0.78539816],
        scale_ratio_range=[0.95, 1.05],
    ),
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='PointShuffle'),
    dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
]
train_dataloader = dict(
    num_workers=1,
    dataset=dict(dataset=dict(data_root=data_root, pipeline=train_pipeline)),
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + 'kitti_infos_val.pkl')
test_evaluator = val_evaluator
