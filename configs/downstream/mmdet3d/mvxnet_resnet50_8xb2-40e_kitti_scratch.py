# As _ft, with random image weights, all of which learn: frozen random stages would be a straw man.
_base_ = ['./mvxnet_resnet50_8xb2-40e_kitti_ft.py']
model = dict(
    img_backbone=dict(
        frozen_stages=-1, norm_eval=False, norm_cfg=dict(requires_grad=True), init_cfg=None
    )
)
custom_hooks = []
