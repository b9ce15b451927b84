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
