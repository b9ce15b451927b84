# default_runtime.py for coloured clouds, with averaged weights (decay 0.9995).
_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='IterSeedHook'),
    dict(type='CheckpointMetaHook', point_channels=('x', 'y', 'z', 'r', 'g', 'b')),
    dict(type='LoadReportHook'),
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.0005),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
