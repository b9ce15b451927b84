# The same with pillars, which the small detectors on SyntheticStreets take over whole.
_base_ = [
    './simipu_r18-pointnet2msg-tiny_1xb2-16e_synthetic-streets.py',
    '../_base_/models/lidar_pillars_tiny.py',
]

model = dict(
    point_encoder=dict(_delete_=True, **_base_.lidar_encoder),
    intra_head=dict(in_channels=72),
    point_head=dict(in_channels=72),
)

# as dense as what the detectors see; the keypoints stay 1024
train_pipeline = _base_.train_pipeline
train_pipeline[-2].update(num_points=8192)
test_pipeline = _base_.test_pipeline
test_pipeline[-2].update(num_points=8192)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
