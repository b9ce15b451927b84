# SimIPU with what PointPillars has below its head in place of PointNet++.
_base_ = [
    '../_base_/models/simipu_r50-pointnet2msg_improved.py',
    '../_base_/models/lidar_pointpillars_kitti.py',
    '../_base_/datasets/kitti_pairs_improved.py',
    '../_base_/schedules/simipu_two_optimizers_100e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    point_encoder=dict(_delete_=True, **_base_.lidar_encoder),
    intra_head=dict(in_channels=392),
    point_head=dict(in_channels=392),
)
val_dataloader = {{_base_.test_dataloader}}
# epoch 50 is of interest too
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=-1))
