# Linear SVM and kNN on frozen features, ModelNet40 in PointNet's HDF5 files:
#   tools/probe.py CHECKPOINT --config THIS_FILE
# CrossPoint's SVM takes the first 1024 points of every shape; here each seed draws its own.
_base_ = '../../drpoint/drpoint_pointtransformer_8xb16-300e_shapenet55.py'

_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=1024),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
_set = dict(type='ModelNetHDF5', data_root='data/modelnet40_ply_hdf5_2048', pipeline=_pipeline)
probe = dict(
    train_dataset=dict(split='train', **_set),
    test_dataset=dict(split='test', test_mode=True, **_set),
    seeds=(0, 1, 2),
)
