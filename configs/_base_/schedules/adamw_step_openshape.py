# OpenShape's recipe for PointBERT: steps of 0.967 every 10,000 iterations; batch 200 on one GPU.
# AdamW's other values are PyTorch's defaults.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.01),
    # what sets a scale or a price is not pulled to 0
    paramwise_cfg=dict(
        custom_keys={
            'alignment.log_scale': dict(decay_mult=0.0),
            'dynamic_weights': dict(decay_mult=0.0),
            'share_logit': dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [dict(type='StepLR', step_size=10000, gamma=0.967, by_epoch=False)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=1000)
