# Small: 12 real frames of KITTI's object set, each of another place; 9 to learn from, all to test
# what was learnt elsewhere (split='val' holds the 3 that are not learnt from).
_base_ = ['./synthetic_streets_pairs_tiny.py']

_data = '{{$MM3D_DATA:../shared/data}}'
train_dataloader = dict(dataset=dict(data_root=f'{_data}/kitti_mini'))
test_dataloader = dict(dataset=dict(data_root=f'{_data}/kitti_mini', split='trainval'))
