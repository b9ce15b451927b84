# Linear SVM and kNN on frozen features of an MRD encoder, ScanObjectNN OBJ-BG (other variants:
# obj_only, pb_t50_rs), grey:
#   tools/probe.py CHECKPOINT --config THIS_FILE
_base_ = './mrd_ppat_modelnet40_svm.py'

_set = dict(
    _delete_=True,
    type='ScanObjectNN',
    data_root='data/ScanObjectNN',
    variant='obj_bg',
    pipeline=_base_.probe.train_dataset.pipeline,
)
probe = dict(
    train_dataset=dict(split='train', **_set),
    test_dataset=dict(split='test', test_mode=True, **_set),
)
