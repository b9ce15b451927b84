# As _ft, with random weights, all of which learn: frozen random stages would be a straw man.
_base_ = ['./fcos3d_resnet50_8xb2-12e_nuscenes_ft.py']
model = dict(
    backbone=dict(
        frozen_stages=-1, norm_eval=False, norm_cfg=dict(requires_grad=True), init_cfg=None
    )
)
custom_hooks = []
