# The encoder of the small DR-Point alone: 32 patches of 16 points, 4 blocks of width 96.
model = dict(
    point_encoder=dict(
        type='PointTransformer',
        in_channels=3,
        num_groups=32,
        group_size=16,
        encoder_dim=96,
        embed_dim=96,
        depth=4,
        num_heads=4,
        drop_path_rate=0.05,
        hidden_dims=(32, 64, 128),
    )
)
