# Point encoder of Point-BERT: 64 patches of 32 points, 12 blocks of width 384.
model = dict(
    point_encoder=dict(
        type='PointTransformer',
        in_channels=3,
        num_groups=64,
        group_size=32,
        encoder_dim=256,
        embed_dim=384,
        depth=12,
        num_heads=6,
        drop_path_rate=0.1,
    )
)
