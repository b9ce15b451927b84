# As _ft, with a frozen encoder: what stands behind it learns.
_base_ = ['./sparsebox_minkunet34_8xb4-12e_sunrgbd_ft.py']
custom_hooks = [
    dict(type='mm3dpretrain.LoadReportHook'),
    dict(
        type='mm3dpretrain.FreezePartsHook',
        parts=['backbone.backbone.conv_input', 'backbone.backbone.encoder'],
    ),
]
# frozen weights get no gradient
model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
