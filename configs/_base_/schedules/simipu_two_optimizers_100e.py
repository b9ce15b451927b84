# SimIPU's: AdamW for the points, SGD for the pictures and all heads, each with its own decay.
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    point=dict(
        modules=['point_encoder'],
        optimizer=dict(type='AdamW', lr=1e-3, betas=(0.95, 0.99), weight_decay=0.01),
    ),
    image=dict(
        modules=['*'],
        optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
    ),
)
param_scheduler = dict(
    point=[dict(type='ExponentialLR', gamma=0.99, by_epoch=True)],
    image=[dict(type='ExponentialLR', gamma=0.99, by_epoch=True)],
)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100, val_interval=10)

# Validation frames only watch the training: no checkpoint is chosen by them.
val_evaluator = dict(type='CrossModalRetrieval', num_candidates=1024)
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
