# Completion on ShapeNet-55: 192 coarse points, a patch of 32 around each, and the input: 8192 in
# all. The head is this project's; the papers of the methods here do not describe theirs.
_base_ = [
    '../../_base_/models/drpoint_pointtransformer.py',
    '../../_base_/datasets/shapenet55_completion.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/completion_300e.py',
]

model = dict(
    _delete_=True,
    type='PointCompletion',
    merge_input=True,
    backbone=dict(
        _base_.model.point_encoder,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(
        type='CompletionHead',
        in_channels=768,
        num_coarse=192,
        hidden_channels=(1024, 1024),
        upsampler=dict(
            type='TransformerUpsampler',
            decoder=dict(
                type='PointDecoder',
                embed_dim=384,
                depth=4,
                num_heads=6,
                group_size=32,
                with_mask_token=True,
            ),
        ),
    ),
)
