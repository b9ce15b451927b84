# As _ft, with a frozen encoder: the decoder and the classifier learn.
_base_ = ['./minkunet-tiny_1xb2-6e_synthetic-rooms-seg_ft.py']
custom_hooks = [
    dict(type='mm3dpretrain.LoadReportHook'),
    dict(type='mm3dpretrain.FreezePartsHook', parts=['backbone.conv_input', 'backbone.encoder']),
]
