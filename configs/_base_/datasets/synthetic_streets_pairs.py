# Pairs of SyntheticStreets in KITTI's size.
# tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets
_base_ = ['./kitti_pairs_improved.py']

train_dataloader = dict(dataset=dict(data_root='data/synthetic_streets'))
test_dataloader = dict(dataset=dict(data_root='data/synthetic_streets'))
