# Encoder and decoder are frozen, a linear classifier of voxels learns.
_base_ = ['./minkunet34_4xb4-100e_scannet-seg-encdec_ft.py']
custom_hooks = [
    dict(type='mm3dpretrain.LoadReportHook'),
    dict(type='mm3dpretrain.FreezePartsHook', parts=['backbone']),
]
# frozen weights get no gradient
model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
