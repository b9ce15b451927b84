# Detection on SyntheticRooms: mmdet3d's ScanNet data and pipelines, other files.
# tools/dataset_converters/create_synthetic_rooms.py --out data/synthetic_rooms
_base_ = ['mmdet3d::_base_/datasets/scannet-3d.py']

data_root = 'data/synthetic_rooms/'
val_set = dict(data_root=data_root, ann_file='rooms_infos_val.pkl')

train_dataloader = dict(
    num_workers=1,
    dataset=dict(dataset=dict(data_root=data_root, ann_file='rooms_infos_train.pkl')),
)
val_dataloader = dict(dataset=val_set)
test_dataloader = dict(dataset=val_set)
# five of ScanNet's classes do not occur: their AP would make mmdet3d's mean nan
val_evaluator = dict(type='mm3dpretrain.PresentClassesIndoorMetric')
test_evaluator = val_evaluator
