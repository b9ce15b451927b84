# Point encoder of Point-MAE: as Point-BERT's, but the patch embedding has the full width.
model = dict(
    point_encoder=dict(
        type='PointTransformer',
        in_channels=3,
        num_groups=64,
        group_size=32,
        encoder_dim=384,
        embed_dim=384,
        depth=12,
        num_heads=6,
        drop_path_rate=0.1,
        reduce_dim=False,
    )
)
