# Of the small SimIPU: 16 epochs; two optimisers, each with its own schedule.
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    point=dict(modules=['point_encoder'], optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01)),
    # SGD needs more epochs than these
    image=dict(modules=['*'], optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01)),
)
_warm_up = dict(
    type='LinearLR', start_factor=0.05, begin=0, end=1, by_epoch=True, convert_to_iter_based=True
)
_decay = dict(
    type='CosineAnnealingLR',
    begin=1,
    end=16,
    eta_min=4e-5,
    by_epoch=True,
    convert_to_iter_based=True,
)
param_scheduler = dict(point=[_warm_up, _decay], image=[_warm_up, _decay])
train_cfg = dict(type='ResumableTrainLoop', max_epochs=16)

test_evaluator = dict(type='CrossModalRetrieval', num_candidates=1024)
test_cfg = dict()
