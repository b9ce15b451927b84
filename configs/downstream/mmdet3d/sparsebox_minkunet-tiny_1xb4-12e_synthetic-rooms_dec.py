# As _ft, with a frozen encoder: decoder and head learn.
_base_ = ['./sparsebox_minkunet-tiny_1xb4-12e_synthetic-rooms_ft.py']
custom_hooks = [
    dict(type='mm3dpretrain.LoadReportHook'),
    dict(
        type='mm3dpretrain.FreezePartsHook',
        parts=['backbone.backbone.conv_input', 'backbone.backbone.encoder'],
    ),
]
