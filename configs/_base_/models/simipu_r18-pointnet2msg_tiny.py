# Small, for a processor: ResNet-18 of a quarter of the width, two set abstractions, 1024 keypoints.
model = dict(
    type='SimIPU',
    data_preprocessor=dict(
        type='PairDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    point_encoder=dict(
        type='PointNet2Encoder',
        backbone=dict(
            type='mmdet3d.PointNet2SAMSG',
            in_channels=4,
            num_points=(1024, 1024),
            radii=((0.4, 1.0), (1.6, 4.0)),
            num_samples=((16, 16), (16, 16)),
            sa_channels=(((16, 16, 32), (16, 16, 32)), ((32, 32, 64), (32, 32, 64))),
            aggregation_channels=(48, 128),
            fps_mods=('D-FPS', 'D-FPS'),
            fps_sample_range_lists=(-1, -1),
            dilated_group=(False, False),
            out_indices=(1,),
            norm_cfg=dict(type='BN2d'),
            sa_cfg=dict(type='PointSAModuleMSG', pool_mod='max', use_xyz=True, normalize_xyz=True),
        ),
    ),
    img_encoder=dict(
        type='mmdet.ResNet',
        depth=18,
        stem_channels=16,
        base_channels=16,
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        zero_init_residual=False,
    ),
    intra_head=dict(type='ProjectionMLP', in_channels=128, hidden_channels=128, out_channels=64),
    img_head=dict(
        type='ProjectionMLP', in_channels=16 + 32 + 64 + 128, hidden_channels=128, out_channels=64
    ),
    point_head=dict(type='ProjectionMLP', in_channels=128, hidden_channels=128, out_channels=64),
    # strides 4 to 32: pictures are small
    img_levels=(0, 1, 2, 3),
    detach='none',
    max_match_dist=1.0,
    valid_mask=True,
    contrast=dict(type='PointInfoNCELoss', temperature=0.07, symmetric=True),
    projector=dict(type='PointProjector', tolerance=0.3, relative=True),
)
