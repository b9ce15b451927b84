# LiDAR segmentation on SyntheticStreets: mmdet3d's SemanticKITTI data and pipelines, other files.
# tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets
_base_ = ['mmdet3d::_base_/datasets/semantickitti.py']

data_root = 'data/synthetic_streets/'
train_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
