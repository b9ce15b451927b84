# ULIP-like: Point-BERT's encoder with colours, aligned with images and texts under one scale.
# ULIP trains the space of CLIP ViT-L-14 (SLIP in its first form) on ShapeNet.
_base_ = ['./mrd_ppat.py']

model = dict(
    embed_dim=768,
    point_encoder=dict(
        _delete_=True,
        type='PointTransformer',
        in_channels=6,
        num_groups=512,
        group_size=32,
        encoder_dim=256,
        embed_dim=384,
        depth=12,
        num_heads=6,
        drop_path_rate=0.1,
    ),
    intra_loss=None,
    cross_loss=None,
    dynamic_weights=None,
)
