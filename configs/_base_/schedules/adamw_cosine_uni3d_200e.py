# Uni3D's recipe: learning rates fall by 0.95 a layer, 10,000 steps of warm-up, 200 epochs;
# 1152 samples a step. Forward passes in bfloat16.
optim_wrapper = dict(
    type='BFloat16OptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
    # what sets a scale or a price is not pulled to 0
    paramwise_cfg=dict(
        layer_decay=dict(module='point_encoder', rate=0.95),
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
    # 10,000 steps with 876,000 triplets
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=13, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=13,
        end=200,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=200)
auto_scale_lr = dict(base_batch_size=1152)
