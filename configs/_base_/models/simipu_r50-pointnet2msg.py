# SimIPU as the public code trains it: ResNet-50 and the PointNet++ of 3DSSD, both from scratch.
# Points carry no coordinates as features, only the reflectance; C5 alone is sampled; the head of
# the points stays as it was initialised.
model = dict(
    type='SimIPU',
    data_preprocessor=dict(
        type='PairDataPreprocessor', bgr=True, mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0]
    ),
    point_encoder=dict(
        type='PointNet2Encoder',
        backbone=dict(
            type='mmdet3d.PointNet2SAMSG',
            in_channels=4,
            # of 16384 points 4096, then 1024 by features and 1024 by distance, then 512 + 512
            num_points=(4096, 1024, (512, 512)),
            radii=((0.2, 0.4, 0.8), (0.4, 0.8, 1.6), (1.6, 3.2, 4.8)),
            num_samples=((32, 32, 64), (32, 32, 64), (16, 16, 16)),
            sa_channels=(
                ((32, 32, 64), (32, 32, 64), (64, 64, 128)),
                ((64, 64, 128), (64, 64, 128), (128, 128, 256)),
                ((128, 128, 256), (128, 128, 256), (256, 256, 512)),
            ),
            aggregation_channels=(128, 256, 1024),
            fps_mods=(('D-FPS'), ('FS'), ('F-FPS', 'D-FPS')),
            fps_sample_range_lists=((-1), (-1), (512, -1)),
            dilated_group=(True, True, True),
            out_indices=(2,),
            norm_cfg=dict(type='BN2d', eps=1e-3, momentum=0.1),
            sa_cfg=dict(
                type='PointSAModuleMSG', pool_mod='max', use_xyz=False, normalize_xyz=False
            ),
        ),
    ),
    img_encoder=dict(
        type='mmdet.ResNet',
        depth=50,
        frozen_stages=-1,
        norm_cfg=dict(type='SyncBN', eps=1e-3, momentum=0.01),
        norm_eval=False,
    ),
    intra_head=dict(type='ProjectionMLP', in_channels=1024, hidden_channels=1024, out_channels=128),
    img_head=dict(type='ProjectionMLP', in_channels=2048, hidden_channels=2048, out_channels=128),
    point_head=dict(type='ProjectionMLP', in_channels=1024, hidden_channels=1024, out_channels=128),
    img_levels=(-1,),
    loss_weights=dict(intra=1.0, inter=1.0),
    detach='after_head',
    matcher='hungarian',
    max_match_dist=None,
    valid_mask=False,
    # negatives are those of a process: 4 clouds x 1024 points
    contrast=dict(
        type='PointInfoNCELoss', temperature=0.07, symmetric=False, gather_distributed=False
    ),
    # the tolerance only chooses the points of the test: the same as in the improved config
    projector=dict(
        type='PointProjector', align_corners=True, padding='zeros', tolerance=0.3, relative=True
    ),
)
