# Small: MVNet for a processor. Widths, heads, weights and the masking ratio are this toolbox's
# choice: the paper's were not available.
model = dict(
    type='MVNet',
    # the teacher's: x / 127.5 - 1
    data_preprocessor=dict(type='PretrainDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
    point_encoder=dict(
        type='SparseUNetEncoder',
        voxel_size=0.05,
        backbone=dict(
            type='mmdet3d.MinkUNetBackbone',
            in_channels=6,
            num_stages=4,
            base_channels=16,
            encoder_channels=[16, 32, 64, 64],
            encoder_blocks=[1, 1, 1, 1],
            decoder_channels=[64, 64, 32, 32],
            decoder_blocks=[1, 1, 1, 1],
            block_type='basic',
            sparseconv_backend='spconv',
        ),
        # two stages of the decoder: the coarse maps of the teacher learn from the first one
        out_levels=[3, 4],
    ),
    teacher=dict(
        type='BackboneTeacher',
        backbone=dict(
            type='mmdet.ResNet',
            depth=18,
            base_channels=16,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            norm_cfg=dict(type='BN', requires_grad=True),
            style='pytorch',
        ),
        weights='work_dirs/teacher_resnet18-tiny_1xb16-8e_synthetic-rooms/epoch_8.pth',
        prefix='backbone.',
        levels=(0, 1, 2),
        divisor=32,
    ),
    encoder_levels=(1, 1, 0),
    transfer_loss=dict(type='FeatureTransferLoss', distance='cosine'),
    match_head=dict(
        type='CorrespondenceHead',
        embed_dim=64,
        num_heads=4,
        encoder_depth=1,
        decoder_depth=1,
        grid=16,
        loss=dict(type='CoordinateLoss', distance='l1'),
    ),
    match_stride=4,
    projector=dict(type='PointProjector', tolerance=0.05),
    # both terms learn: with 1 and 4 the matches do alone, similarity to the teacher stays at 0.28
    # instead of 0.43 and above
    loss_weights=dict(transfer=4.0, consistency=4.0),
    mask_ratio=0.3,
    mask_block=0.2,
)
