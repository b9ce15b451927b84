# custom_hooks are a list, which a config replaces as a whole: these are default_runtime.py's and
# the one that computes the blocks of the encoder again in the backward pass.
custom_hooks = [
    dict(type='IterSeedHook'),
    dict(type='CheckpointMetaHook'),
    dict(type='LoadReportHook'),
    dict(type='ActivationCheckpointHook', modules=('point_encoder.blocks',)),
]
