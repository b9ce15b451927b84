# DR-Point on the embedded shapes, in minutes on two CPU cores: what `make demo` trains.
# First train the tokenizer with pointdvae_dgcnn-tiny_1xb32-10e_synthetic.py.
_base_ = [
    '../_base_/models/drpoint_pointtransformer-tiny.py',
    '../_base_/datasets/synthetic_shapes_triplets.py',
    '../_base_/schedules/adamw_cosine_drpoint_tiny.py',
    '../_base_/default_runtime.py',
]

model = dict(
    # a queue as long as the data set would hold every shape's own earlier key as a negative
    momentum_contrast=dict(queue_size=256),
    tokenizer=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pointdvae_dgcnn-tiny_1xb32-10e_synthetic/epoch_10.pth',
        )
    ),
)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=5))

_probe_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
_probe_set = dict(
    type='ShapeNet55', data_root='data/synthetic', expected_count=None, pipeline=_probe_pipeline
)
probe = dict(
    train_dataset=dict(split='train', **_probe_set),
    test_dataset=dict(split='test', test_mode=True, **_probe_set),
    seeds=(0, 1, 2),
)
