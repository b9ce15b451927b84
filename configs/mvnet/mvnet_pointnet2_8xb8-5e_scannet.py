# MVNet on ScanNet with the PointNet++ of VoteNet (x y z and colours), for detection.
_base_ = [
    '../_base_/models/mvnet_dinov2.py',
    '../_base_/datasets/scannet_frames.py',
    '../_base_/schedules/mvnet_5e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    point_encoder=dict(
        type='PointNet2Encoder',
        out_levels=[0, 1, 2],
        backbone=dict(
            type='mmdet3d.PointNet2SASSG',
            in_channels=6,
            num_points=(2048, 1024, 512, 256),
            radius=(0.2, 0.4, 0.8, 1.2),
            num_samples=(64, 32, 16, 16),
            sa_channels=((64, 64, 128), (128, 128, 256), (128, 128, 256), (128, 128, 256)),
            fp_channels=((256, 256), (256, 256)),
            norm_cfg=dict(type='BN2d'),
            sa_cfg=dict(type='PointSAModule', pool_mod='max', use_xyz=True, normalize_xyz=True),
        ),
    ),
    encoder_levels=(0, 1, 2),
)
