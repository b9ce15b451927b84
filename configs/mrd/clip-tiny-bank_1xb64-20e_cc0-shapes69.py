# An image tower in the space of real text embeddings (ViT-B-32): rendered views of CC0 objects and
# the training split of Shapes69 against the names of objects and classes. The classes in `held_out`
# are left out here as well: else what learns from these images would have seen them. First write
# the embeddings of these names, for which no network is needed:
#   tools/precompute_embeddings.py THIS --splits train --texts clip_name class
#       --teacher configs/_base_/text_spaces/bank_vit-b-32_shapes69.py
#       --out data/cache/text_bank_vit-b-32
_base_ = [
    '../_base_/models/clip_tiny.py',
    '../_base_/text_spaces/bank_vit-b-32_shapes69.py',
    '../_base_/shapes69_held_out.py',
    '../_base_/default_runtime.py',
]
_data = '{{$MM3D_DATA:../shared/data}}'
_views = dict(num_views=12, image_size=64)

model = dict(
    # no text tower: the bank is the text side
    model=dict(
        _delete_=True,
        embed_dim=512,
        vision_cfg=dict(image_size=64, layers=(1, 1, 1, 1), width=16, patch_size=None),
    ),
    text_space={{_base_.text_space}},
)
train_pipeline = [
    dict(type='LoadView', load_cameras=False),
    dict(type='ColorJitterView', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='RandomFlipView', prob=0.5),
    dict(type='LoadEmbeddings', cache_dir='data/cache/text_bank_vit-b-32'),
    dict(type='PickEmbeddings'),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='Cc0Objects',
                data_root=f'{_data}/cc0_objects',
                split='all',
                views=_views,
                pipeline=train_pipeline,
            ),
            dict(
                type='Shapes69',
                data_root=f'{_data}/shapes69',
                split='train',
                leave_out=_base_.held_out,
                views=_views,
                pipeline=train_pipeline,
            ),
        ],
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.1, betas=(0.9, 0.98)),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'logit_scale': dict(decay_mult=0.0),
            'positional_embedding': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        end=20,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=20)
