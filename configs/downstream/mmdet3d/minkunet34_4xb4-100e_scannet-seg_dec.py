# As _ft, with a frozen encoder: the decoder and the classifier learn.
_base_ = ['./minkunet34_4xb4-100e_scannet-seg_ft.py']
custom_hooks = [
    dict(type='mm3dpretrain.LoadReportHook'),
    dict(type='mm3dpretrain.FreezePartsHook', parts=['backbone.conv_input', 'backbone.encoder']),
]
# frozen weights get no gradient
model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
