# MRD with OpenShape's PointBERT on ShapeNet alone, the cheapest honest comparison.
_base_ = [
    '../_base_/models/mrd_ppat.py',
    '../_base_/datasets/openshape_triplets.py',
    '../_base_/schedules/adamw_cosine_ema_100e.py',
    '../_base_/mrd_runtime.py',
]

train_dataloader = dict(batch_size=25, dataset=dict(split='train_shapenet_only'))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
auto_scale_lr = dict(base_batch_size=200)
