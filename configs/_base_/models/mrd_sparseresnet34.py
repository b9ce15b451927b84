# OpenShape's sparse convolutional encoder instead of its PointBERT.
_base_ = ['./mrd_ppat.py']

model = dict(
    point_encoder=dict(
        _delete_=True, type='SparseResNetEncoder', in_channels=6, voxel_size=0.02, out_channels=1024
    )
)
