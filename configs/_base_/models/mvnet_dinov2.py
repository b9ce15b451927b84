# What MVNet's full configs share: a frozen DINOv2 as teacher, which the paper found better than
# SAM, on several levels; both terms. This toolbox's choice, because the paper's was not available:
# the size of the teacher and its levels, heads, distances, both weights, the masking (none).
model = dict(
    type='MVNet',
    # what DINOv2 expects, in 0 to 255
    data_preprocessor=dict(
        type='PretrainDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    teacher=dict(
        type='TimmTeacher',
        model_name='vit_small_patch14_dinov2.lvd142m',
        # or a local file
        weights='hub',
        levels=(3, 7, 11),
    ),
    pixel_head=dict(type='PixelHead', hidden_channels=256),
    transfer_loss=dict(type='FeatureTransferLoss', distance='cosine'),
    match_head=dict(
        type='CorrespondenceHead',
        embed_dim=256,
        num_heads=8,
        encoder_depth=2,
        decoder_depth=2,
        grid=16,
        loss=dict(type='CoordinateLoss', distance='l1'),
    ),
    match_stride=4,
    # metres; ScanNet's depth is noisier than that at some metres' distance
    projector=dict(type='PointProjector', tolerance=0.05),
    loss_weights=dict(transfer=1.0, consistency=1.0),
    mask_ratio=0.0,
)
