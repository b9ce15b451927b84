# DR-Point in a size that two CPU cores train in minutes; every part of the full one is there.
_resnet = dict(
    type='mmdet.ResNet',
    depth=18,
    base_channels=16,
    out_indices=(3,),
    norm_cfg=dict(type='BN'),
    norm_eval=False,
)
model = dict(
    type='DRPoint',
    data_preprocessor=dict(
        type='PretrainDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    point_encoder=dict(
        type='PointTransformer',
        num_groups=32,
        group_size=16,
        encoder_dim=96,
        embed_dim=96,
        depth=4,
        num_heads=4,
        drop_path_rate=0.05,
        hidden_dims=(32, 64, 128),
    ),
    tokenizer=dict(
        type='PointDVAE',
        num_groups=32,
        group_size=16,
        encoder_dim=96,
        num_tokens=512,
        token_dim=96,
        decoder_dim=96,
        hidden_dims=(32, 64, 128),
        graph_dims=(64, 64, 128, 128),
        folding_dims=(128, 64),
    ),
    token_head=dict(type='MaskedTokenHead', in_channels=96, num_tokens=512),
    moco_head=dict(
        type='ProjectionHead',
        in_channels=96,
        hidden_channels=128,
        out_channels=128,
        norm=False,
        activation='gelu',
    ),
    momentum_contrast=dict(
        type='MomentumContrast', dim=128, queue_size=1024, temperature=0.07, momentum=0.99
    ),
    point_decoder=dict(
        type='PointDecoder', embed_dim=96, depth=2, num_heads=4, group_size=16, drop_path_rate=0.0
    ),
    renderer=dict(type='PointSplatRenderer', radius=2.0, near=0.5, far=3.5),
    views=dict(type='CubeCornerViews', image_size=64),
    image_encoder=dict(type='ImageEncoder', out_channels=128, backbone=_resnet),
    depth_encoder=dict(type='ImageEncoder', out_channels=128, backbone=_resnet),
    heads=dict(
        rgb=dict(
            type='ProjectionHead', in_channels=128, hidden_channels=128, out_channels=64, bias=False
        ),
        depth=dict(
            type='ProjectionHead', in_channels=128, hidden_channels=128, out_channels=64, bias=False
        ),
        points=dict(
            type='ProjectionHead', in_channels=192, hidden_channels=128, out_channels=64, bias=False
        ),
    ),
    cross_modal_loss=dict(type='NTXentLoss', temperature=0.1),
    # more weight on the contrast of the points than in the full-size config: chosen on embedded
    # shapes of another seed than the demo's
    loss_weights=dict(token=1.0, moco=1.0, cd=1.0, dr=0.1, rd=0.1, rp=1.0, pd=1.0),
    token_contrast='moco',
    contrast_depth='recon',
    num_views=1,
    mask_ratio=(0.25, 0.45),
)
