# Uni3D's base encoder in the space of EVA02-E-14-plus. It starts from 2D weights with
# point_encoder.vit.checkpoint='eva02_base_patch14_448.mim_in22k_ft_in22k.safetensors', timm's file.
_base_ = ['./mrd_ppat.py']

model = dict(
    embed_dim=1024,
    point_encoder=dict(
        _delete_=True,
        type='Uni3DViT',
        vit=dict(model_name='eva02_base_patch14_448', model_args=dict(drop_path_rate=0.2)),
        num_groups=512,
        group_size=64,
        encoder_dim=512,
        patch_dropout=0.5,
    ),
)
