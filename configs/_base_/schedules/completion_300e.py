# Completion: the optimiser of the classification recipe, 300 epochs, no validation loop. The papers
# of the methods here do not give one.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=10,
        end=300,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=300)
auto_scale_lr = dict(base_batch_size=32)

test_cfg = dict()
test_evaluator = dict(type='CompletionMetric')
