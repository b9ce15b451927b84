# As _dec, with one linear layer (and the batch norm and linear classifier of the head) behind it.
_base_ = ['./pointnet2head_pointtransformer-tiny_1xb4-24e_synthetic-rooms-seg_ft.py']
model = dict(backbone=dict(frozen=True), decode_head=dict(fp_channels=((288, 128),)))
