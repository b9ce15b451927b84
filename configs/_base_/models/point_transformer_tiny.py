# A small encoder for smoke runs on a CPU: 32 patches of 16 points, 4 blocks of width 96.
model = dict(
    point_encoder=dict(
        type='PointTransformer',
        in_channels=3,
        num_groups=32,
        group_size=16,
        encoder_dim=64,
        embed_dim=96,
        depth=4,
        num_heads=3,
        drop_path_rate=0.1,
    )
)
