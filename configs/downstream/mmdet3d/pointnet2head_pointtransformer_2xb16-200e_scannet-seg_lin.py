# As _dec, with one linear layer (and the batch norm and linear classifier of the head) behind it.
_base_ = ['./pointnet2head_pointtransformer_2xb16-200e_scannet-seg_ft.py']
model = dict(backbone=dict(frozen=True), decode_head=dict(fp_channels=((1152, 128),)))
