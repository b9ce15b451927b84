# Monocular detection on SyntheticStreets: mmdet3d's KITTI data and pipelines, other files.
# tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets
_base_ = ['mmdet3d::_base_/datasets/kitti-mono3d.py']

data_root = 'data/synthetic_streets/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + 'kitti_infos_val.pkl')
test_evaluator = dict(ann_file=data_root + 'kitti_infos_val.pkl')
