# DR-Point-style pre-training, full size, on ShapeNet-55 with ShapeNetRendering.
# The recipe is Point-BERT's; the paper's own is not known.
_base_ = [
    '../_base_/models/drpoint_pointtransformer.py',
    '../_base_/datasets/shapenet55_triplets.py',
    '../_base_/schedules/adamw_cosine_300e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=16)
