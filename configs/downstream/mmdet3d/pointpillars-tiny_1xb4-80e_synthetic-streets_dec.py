# As _ft, with everything below the head frozen: what do the features themselves say of cars?
_base_ = ['./pointpillars-tiny_1xb4-80e_synthetic-streets_ft.py']
custom_hooks = [
    dict(type='mm3dpretrain.LoadReportHook'),
    dict(type='mm3dpretrain.FreezePartsHook', parts=['voxel_encoder', 'backbone', 'neck']),
]
