# The 24 real pairs with pillars, which need a third of the time.
_base_ = [
    './simipu_r18-pointnet2msg-tiny_1xb2-40e_kitti-raw-seq.py',
    '../_base_/models/lidar_pillars_tiny.py',
]

model = dict(
    point_encoder=dict(_delete_=True, **_base_.lidar_encoder),
    intra_head=dict(in_channels=72),
    point_head=dict(in_channels=72),
)
