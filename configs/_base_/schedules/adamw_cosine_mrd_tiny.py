# Of the small MRD: 20 epochs.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    # what sets a scale or a price is not pulled to 0
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'cls_token': dict(decay_mult=0.0),
            'alignment.log_scale': dict(decay_mult=0.0),
            # a few hundred steps: at the common rate they would hardly leave 1
            'dynamic_weights': dict(decay_mult=0.0, lr_mult=30.0),
        },
    ),
    clip_grad=dict(max_norm=10),
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
