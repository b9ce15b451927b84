# As pointtransformer_1xb32-300e_scanobjectnn-objonly_dec, started from MVNet on shapes.
_base_ = './pointtransformer_1xb32-300e_scanobjectnn-objonly_dec.py'
model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='work_dirs/mvnet_pointtransformer_8xb16-100e_shapes/epoch_100.pth')
    ),
)
