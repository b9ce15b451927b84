# Small: linear SVM and kNN on frozen features of an MRD encoder, real shapes of 69 classes:
#   tools/probe.py CHECKPOINT --config THIS_FILE
_base_ = ['../../_base_/models/mrd_ppat-tiny.py', '../../_base_/default_runtime.py']

_data = '{{$MM3D_DATA:../shared/data}}'
_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    dict(type='FillColors'),
    dict(type='PackTriplets'),
]
_set = dict(type='Shapes69', data_root=f'{_data}/shapes69', pipeline=_pipeline)
probe = dict(
    train_dataset=dict(split='train', **_set),
    test_dataset=dict(split='val', test_mode=True, **_set),
    seeds=(0, 1, 2),
)
