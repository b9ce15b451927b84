# mrd_uni3d-base_24xb48-200e_openshape-ensembled.py
# through DeepSpeed's ZeRO-1, as Uni3D trains; it has no averaged weights.
_base_ = [
    './mrd_uni3d-base_24xb48-200e_openshape-ensembled.py',
    '../_base_/strategies/deepspeed_zero1.py',
]

custom_hooks = [
    dict(type='IterSeedHook'),
    dict(type='CheckpointMetaHook', point_channels=('x', 'y', 'z', 'r', 'g', 'b')),
    dict(type='LoadReportHook'),
]
