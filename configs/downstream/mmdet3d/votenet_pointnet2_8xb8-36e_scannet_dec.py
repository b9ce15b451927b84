# As _ft, with a frozen encoder: what stands behind it learns.
_base_ = ['./votenet_pointnet2_8xb8-36e_scannet_ft.py']
custom_hooks = [
    dict(type='mm3dpretrain.LoadReportHook'),
    dict(type='mm3dpretrain.FreezePartsHook', parts=['backbone.SA_modules']),
]
# frozen weights get no gradient
model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
