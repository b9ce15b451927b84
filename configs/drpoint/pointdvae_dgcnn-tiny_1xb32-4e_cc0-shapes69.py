# First stage of the small DR-Point: the tokenizer, on real shapes.
_base_ = [
    '../_base_/models/pointdvae_tiny.py',
    '../_base_/datasets/cc0_shapes69_points.py',
    '../_base_/schedules/adamw_cosine_tokenizer_tiny.py',
    '../_base_/default_runtime.py',
]

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        end=4,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=4)
