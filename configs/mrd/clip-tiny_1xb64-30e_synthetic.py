# The embedded teacher: a small CLIP from scratch on rendered views and captions of the embedded
# shapes. tools/dataset_converters/create_synthetic_shapes.py --out data/synthetic
_base_ = [
    '../_base_/models/clip_tiny.py',
    '../_base_/datasets/synthetic_shapes_views.py',
    '../_base_/default_runtime.py',
]

model = dict(classes={{_base_.classes}}, prompts='a')

train_pipeline = [
    dict(type='LoadView', load_cameras=False),
    dict(type='ResizeView', size=64),
    # captions name colours: only a little of it
    dict(type='ColorJitterView', brightness=0.2, contrast=0.2, saturation=0.2),
    dict(type='RandomFlipView', prob=0.5),
    dict(type='TokenizeCaption', model={{_base_.clip_model}}),
    dict(type='PackTriplets'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.1, betas=(0.9, 0.98)),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        # a vocabulary of which captions use a few hundred words
        custom_keys={
            'logit_scale': dict(decay_mult=0.0),
            'positional_embedding': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=True, end=2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=2,
        end=30,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=30)

default_hooks = dict(checkpoint=dict(interval=10))
test_evaluator = dict(type='ClassificationAccuracy', prefix='zeroshot')
test_cfg = dict()
