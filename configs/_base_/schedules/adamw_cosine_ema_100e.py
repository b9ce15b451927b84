# Cosine with 10 epochs of warm-up, to be used with averaged weights: lifts OpenShape's loss by
# itself, as MixCon3D's notes say, so compare losses under the same schedule.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    # what sets a scale or a price is not pulled to 0
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'cls_token': dict(decay_mult=0.0),
            'cls_pos': dict(decay_mult=0.0),
            'alignment.log_scale': dict(decay_mult=0.0),
            'dynamic_weights': dict(decay_mult=0.0),
            'share_logit': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=10,
        end=100,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
# the averaged weights come from ../mrd_runtime.py
