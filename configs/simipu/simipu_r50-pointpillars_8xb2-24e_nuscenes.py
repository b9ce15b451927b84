# nuScenes with what PointPillars has below its head in place of PointNet++, on ten
# scans with the age of their points, as the detector reads them.
_base_ = [
    './simipu_r50-pointnet2msg-improved_8xb2-24e_nuscenes.py',
    '../_base_/models/lidar_pointpillars_nuscenes.py',
]

model = dict(
    point_encoder=dict(_delete_=True, **_base_.lidar_encoder),
    intra_head=dict(in_channels=392),
    point_head=dict(in_channels=392),
)
_load = dict(type='LoadLidar', num_sweeps=9, with_time=True, min_distance=1.0)
train_pipeline = [_load, *_base_.train_pipeline[1:]]
test_pipeline = [_load, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(sweeps=9, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(sweeps=9, pipeline=test_pipeline))
val_dataloader = test_dataloader
