# The cross-modal terms of DR-Point with an encoder, a loss and a renderer of this project.
_base_ = [
    '../../../configs/_base_/datasets/synthetic_shapes_triplets.py',
    '../../../configs/_base_/schedules/adamw_cosine_tokenizer_tiny.py',
    '../../../configs/_base_/default_runtime.py',
]
custom_imports = dict(imports=['projects.example_project.example_project'])

_head = dict(type='ProjectionHead', in_channels=128, hidden_channels=128, out_channels=64)
_resnet = dict(
    type='ImageEncoder',
    out_channels=128,
    backbone=dict(
        type='mmdet.ResNet',
        depth=18,
        base_channels=16,
        out_indices=(3,),
        norm_cfg=dict(type='BN'),
        norm_eval=False,
    ),
)
model = dict(
    type='DRPoint',
    data_preprocessor=dict(
        type='PretrainDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    point_encoder=dict(type='TinyPointNet', out_channels=128),
    image_encoder=_resnet,
    depth_encoder=_resnet,
    renderer=dict(type='NearestPixelRenderer', near=0.5, far=3.5),
    views=dict(type='CubeCornerViews', image_size=64),
    contrast_depth='input',
    heads=dict(rgb=_head, depth=_head, points=_head),
    cross_modal_loss=dict(type='DecoupledContrastLoss', temperature=0.1),
    loss_weights=dict(rp=1.0, pd=1.0, rd=1.0),
)

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
