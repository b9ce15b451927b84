# Linear SVM and kNN on frozen features of an MRD encoder, ModelNet40 in PointNet's HDF5 files (+y
# up, 2048 points, grey):
#   tools/probe.py CHECKPOINT --config THIS_FILE
_base_ = ['../../_base_/models/mrd_ppat.py', '../../_base_/default_runtime.py']

_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=2048),
    dict(type='NormalizePoints'),
    dict(type='FillColors'),
    dict(type='PackTriplets'),
]
_set = dict(type='ModelNetHDF5', data_root='data/modelnet40_ply_hdf5_2048', pipeline=_pipeline)
probe = dict(
    train_dataset=dict(split='train', **_set),
    test_dataset=dict(split='test', test_mode=True, **_set),
    seeds=(0, 1, 2),
)
