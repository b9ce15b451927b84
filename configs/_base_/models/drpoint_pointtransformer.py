# Full size: Point-BERT's encoder, Point-MAE's decoder, CrossPoint's ResNet-50 image branch.
# What the paper does not say is this toolbox's default (docs/methods/drpoint.md lists it).
model = dict(
    type='DRPoint',
    data_preprocessor=dict(
        type='PretrainDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    point_encoder=dict(
        type='PointTransformer',
        num_groups=64,
        group_size=32,
        encoder_dim=256,
        embed_dim=384,
        depth=12,
        num_heads=6,
        drop_path_rate=0.1,
    ),
    tokenizer=dict(
        type='PointDVAE',
        num_groups=64,
        group_size=32,
        encoder_dim=256,
        num_tokens=8192,
        token_dim=256,
        decoder_dim=256,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pointdvae_dgcnn_8xb8-300e_shapenet55/epoch_300.pth',
        ),
    ),
    token_head=dict(type='MaskedTokenHead', in_channels=384, num_tokens=8192),
    moco_head=dict(
        type='ProjectionHead',
        in_channels=384,
        hidden_channels=512,
        out_channels=512,
        norm=False,
        activation='gelu',
    ),
    momentum_contrast=dict(
        type='MomentumContrast', dim=512, queue_size=16384, temperature=0.07, momentum=0.999
    ),
    point_decoder=dict(type='PointDecoder', embed_dim=384, depth=4, num_heads=6, group_size=32),
    renderer=dict(type='PointSplatRenderer', radius=5.0, near=0.5, far=3.5),
    views=dict(type='CubeCornerViews', image_size=224),
    image_encoder=dict(
        type='ImageEncoder',
        out_channels=2048,
        backbone=dict(
            type='mmdet.ResNet',
            depth=50,
            out_indices=(3,),
            norm_cfg=dict(type='BN'),
            norm_eval=False,
        ),
    ),
    depth_encoder=dict(
        type='ImageEncoder',
        out_channels=2048,
        backbone=dict(
            type='mmdet.ResNet',
            depth=50,
            out_indices=(3,),
            norm_cfg=dict(type='BN'),
            norm_eval=False,
        ),
    ),
    heads=dict(
        rgb=dict(
            type='ProjectionHead',
            in_channels=2048,
            hidden_channels=512,
            out_channels=256,
            bias=False,
        ),
        depth=dict(
            type='ProjectionHead',
            in_channels=2048,
            hidden_channels=512,
            out_channels=256,
            bias=False,
        ),
        points=dict(
            type='ProjectionHead',
            in_channels=768,
            hidden_channels=512,
            out_channels=256,
            bias=False,
        ),
    ),
    cross_modal_loss=dict(type='NTXentLoss', temperature=0.1),
    chamfer_loss=dict(type='ChamferLoss', norm='l2'),
    render_loss=dict(type='DepthRenderLoss', norm='l1'),
    # the weights of a summary of the paper, but 0.1 instead of 1 for dr (docs/methods/drpoint.md)
    loss_weights=dict(token=1.0, moco=1.0, cd=1.0, dr=0.1, rd=0.1, rp=0.1, pd=0.1),
    token_contrast='moco',
    contrast_depth='recon',
    num_views=1,
    mask_ratio=(0.25, 0.45),
)
