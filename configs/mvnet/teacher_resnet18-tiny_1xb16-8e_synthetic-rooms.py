# The embedded teacher: a narrow ResNet-18 that learns depth from single pictures of SyntheticRooms,
# in minutes on a CPU core. Its labels are the depth of the frames themselves: no class of an object
# reaches MVNet through it. A small one; DINOv2 and MobileNetV2 are better where they can be had.
# tools/dataset_converters/create_synthetic_rooms.py --out data/synthetic_rooms
_base_ = [
    '../_base_/datasets/synthetic_rooms_frames.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(type='PretrainDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        type='mmdet.ResNet',
        depth=18,
        base_channels=16,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
    ),
    decoder=dict(
        type='DenseDepthDecoder',
        in_channels=(16, 32, 64, 128),
        channels=(24, 32, 48, 64),
        max_depth=10.0,
        norm_cfg=dict(type='BN'),
    ),
    loss=dict(type='SigLoss'),
)

train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='ResizeFrames', size=(120, 160)),
    dict(type='PickView'),
    dict(type='RandomFlipDepth'),
    dict(type='RandomGammaColor'),
    dict(type='PackDepth'),
]
test_pipeline = [
    dict(type='LoadFrames'),
    dict(type='ResizeFrames', size=(120, 160)),
    dict(type='PickView', view=0),
    dict(type='PackDepth'),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(batch_size=16, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        end=8,
        eta_min=2e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=8)
test_evaluator = dict(type='DepthMetric', max_depth=10.0)
test_cfg = dict()
