# Small: 29 real pairs of one slow drive of KITTI, the first 24 to learn from, the last 5 to test.
# They are much alike: kitti_mini_pairs_tiny.py tests on other places.
_base_ = ['./synthetic_streets_pairs_tiny.py']

_data = '{{$MM3D_DATA:../shared/data}}'
train_dataloader = dict(dataset=dict(data_root=f'{_data}/kitti_raw_seq', indices=24))
test_dataloader = dict(dataset=dict(data_root=f'{_data}/kitti_raw_seq', split='train', indices=-5))
