# First stage of the small DR-Point: the tokenizer, on the embedded shapes.
_base_ = [
    '../_base_/models/pointdvae_tiny.py',
    '../_base_/datasets/synthetic_shapes_points.py',
    '../_base_/default_runtime.py',
]

max_epochs = 10
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        end=max_epochs,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=max_epochs)
default_hooks = dict(logger=dict(interval=10))
