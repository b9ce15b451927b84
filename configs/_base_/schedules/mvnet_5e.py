# Five epochs, as Pri3D on the same pairs. Optimiser and rates are this toolbox's choice: MVNet's
# are unknown.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=1,
        end=5,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=5)
test_evaluator = dict(type='ViewConsistencyMetric')
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64)
