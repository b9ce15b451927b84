# As _ft, and the decoder starts from the pre-training too.
_base_ = ['./minkunet-tiny_1xb2-6e_synthetic-rooms-seg_ft.py']
model = dict(
    init_cfg=dict(parts={'backbone.decoder': 'point_encoder.backbone.decoder.'}),
)
