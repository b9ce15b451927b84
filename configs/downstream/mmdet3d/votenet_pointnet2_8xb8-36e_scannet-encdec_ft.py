# As _ft, and the feature propagation starts from the pre-training too.
_base_ = ['./votenet_pointnet2_8xb8-36e_scannet_ft.py']
model = dict(
    init_cfg=dict(parts={'backbone.FP_modules': 'point_encoder.backbone.FP_modules.'}),
)
