# MRD with Uni3D's base encoder on OpenShape's four sets, with their embeddings of ViT-bigG-14
# (Uni3D itself: EVA02-E-14-plus, embed_dim=1024, whose embeddings tools/precompute_embeddings.py
# writes). 2D weights: model.point_encoder.vit.checkpoint, see the base config of the model.
_base_ = [
    '../_base_/models/mrd_uni3d-base.py',
    '../_base_/datasets/openshape_triplets.py',
    '../_base_/schedules/adamw_cosine_uni3d_200e.py',
    '../_base_/mrd_runtime.py',
]

model = dict(embed_dim=1280)
train_dataloader = dict(batch_size=48)
