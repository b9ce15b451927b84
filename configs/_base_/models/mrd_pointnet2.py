# mmdet3d's PointNet++ reads the unit sphere; its projection is that of all encoders, one layer.
_base_ = ['./mrd_ppat.py']

model = dict(
    point_encoder=dict(
        _delete_=True,
        type='PointNet2Encoder',
        backbone=dict(
            type='mmdet3d.PointNet2SASSG',
            in_channels=6,
            num_points=(512, 128, 32),
            radius=(0.1, 0.2, 0.4),
            num_samples=(32, 64, 64),
            sa_channels=((64, 64, 128), (128, 128, 256), (256, 256, 512)),
            fp_channels=(),
            norm_cfg=dict(type='BN2d'),
            sa_cfg=dict(type='PointSAModule', pool_mod='max', use_xyz=True, normalize_xyz=False),
        ),
    )
)
