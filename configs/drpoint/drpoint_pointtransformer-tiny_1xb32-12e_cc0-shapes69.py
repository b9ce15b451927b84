# DR-Point on real shapes without labels: CC0 objects and the training split of Shapes69, probed on
# Shapes69. First train the tokenizer with pointdvae_dgcnn-tiny_1xb32-4e_cc0-shapes69.py;
# tools/analysis_tools/seeds_table.py runs both and the probe for three seeds.
_base_ = [
    '../_base_/models/drpoint_pointtransformer-tiny.py',
    '../_base_/datasets/cc0_shapes69_triplets.py',
    '../_base_/schedules/adamw_cosine_drpoint_tiny.py',
    '../_base_/default_runtime.py',
]

model = dict(
    tokenizer=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pointdvae_dgcnn-tiny_1xb32-4e_cc0-shapes69/epoch_4.pth',
        )
    )
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        end=12,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=12)
default_hooks = dict(checkpoint=dict(interval=4))

_probe_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
_probe_set = dict(
    type='Shapes69',
    data_root='{{$MM3D_DATA:../shared/data}}/shapes69',
    pipeline=_probe_pipeline,
)
probe = dict(
    train_dataset=dict(split='train', **_probe_set),
    test_dataset=dict(split='val', test_mode=True, **_probe_set),
    seeds=(0, 1, 2),
)
