# SimIPU on SyntheticStreets, in minutes on a CPU core.
# tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets
_base_ = [
    '../_base_/models/simipu_r18-pointnet2msg_tiny.py',
    '../_base_/datasets/synthetic_streets_pairs_tiny.py',
    '../_base_/schedules/simipu_tiny.py',
    '../_base_/default_runtime.py',
]

# half of them and more are neighbours of the 1024 that are kept
train_pipeline = _base_.train_pipeline
train_pipeline[-2].update(num_points=2048)
# behind the pictures' transforms and before the range of the points
train_pipeline.insert(-4, dict(type='TurnLidar'))
test_pipeline = _base_.test_pipeline
test_pipeline[-2].update(num_points=2048)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(batch_size=2, dataset=dict(pipeline=test_pipeline))
