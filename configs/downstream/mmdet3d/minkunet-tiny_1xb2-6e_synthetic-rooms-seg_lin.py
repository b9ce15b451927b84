# Encoder and decoder are frozen, a linear classifier of voxels learns.
_base_ = ['./minkunet-tiny_1xb2-6e_synthetic-rooms-seg-encdec_ft.py']
custom_hooks = [
    dict(type='mm3dpretrain.LoadReportHook'),
    dict(type='mm3dpretrain.FreezePartsHook', parts=['backbone']),
]
