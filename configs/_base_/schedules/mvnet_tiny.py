# Of the small MVNet: 12 epochs.
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
        end=12,
        eta_min=2e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=12)
test_evaluator = dict(type='ViewConsistencyMetric')
test_cfg = dict()
