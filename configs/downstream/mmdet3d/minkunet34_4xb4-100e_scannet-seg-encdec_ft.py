# As _ft, and the decoder starts from the pre-training too.
_base_ = ['./minkunet34_4xb4-100e_scannet-seg_ft.py']
model = dict(
    init_cfg=dict(parts={'backbone.decoder': 'point_encoder.backbone.decoder.'}),
)
