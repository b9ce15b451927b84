# Small: completion of real shapes on two CPU cores: 48 patches of 16 points, and the input.
_base_ = [
    '../../_base_/models/drpoint_pointtransformer-tiny.py',
    '../../_base_/datasets/shapes69_completion.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/completion_small.py',
]

model = dict(
    _delete_=True,
    type='PointCompletion',
    merge_input=True,
    backbone=dict(
        _base_.model.point_encoder,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer-tiny_1xb32-12e_cc0-shapes69/epoch_12.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(
        type='CompletionHead',
        in_channels=192,
        num_coarse=48,
        hidden_channels=(256, 256),
        upsampler=dict(
            type='TransformerUpsampler',
            decoder=dict(
                type='PointDecoder',
                embed_dim=96,
                depth=2,
                num_heads=4,
                group_size=16,
                with_mask_token=True,
            ),
        ),
    ),
)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
