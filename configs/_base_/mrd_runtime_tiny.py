# default_runtime.py for coloured clouds. A run of minutes is too short for averaged weights.
_base_ = './default_runtime.py'

custom_hooks = [
    dict(type='IterSeedHook'),
    dict(type='CheckpointMetaHook', point_channels=('x', 'y', 'z', 'r', 'g', 'b')),
    dict(type='LoadReportHook'),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=5))
