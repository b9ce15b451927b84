# MRD in a size that two CPU cores train in minutes, in the space of ViT-B-32.
_base_ = ['./mrd_ppat.py']

model = dict(
    embed_dim=512,
    point_encoder=dict(
        scaling=1,
        embed_dim=96,
        depth=4,
        num_heads=4,
        mlp_dim=288,
        patch_dim=96,
        num_groups=48,
        radius=0.35,
        group_size=24,
        drop_path_rate=0.05,
    ),
)
