# As _ft, and the decoder starts from the pre-training too.
_base_ = ['./sparsebox_minkunet34_8xb4-12e_scannet_ft.py']
model = dict(
    init_cfg=dict(parts={'backbone.backbone.decoder': 'point_encoder.backbone.decoder.'}),
)
