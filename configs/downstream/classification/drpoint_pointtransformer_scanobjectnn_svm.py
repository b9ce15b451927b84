# Linear SVM and kNN on frozen features, ScanObjectNN OBJ-BG (other variants: obj_only, pb_t50_rs):
#   tools/probe.py CHECKPOINT --config THIS_FILE
_base_ = '../../drpoint/drpoint_pointtransformer_8xb16-300e_shapenet55.py'

_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=1024),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
_set = dict(
    type='ScanObjectNN', data_root='data/ScanObjectNN', variant='obj_bg', pipeline=_pipeline
)
probe = dict(
    train_dataset=dict(split='train', **_set),
    test_dataset=dict(split='test', test_mode=True, **_set),
    seeds=(0, 1, 2),
)
