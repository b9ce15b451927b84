# The same on 24 real pairs of one slow drive (KITTI raw), tested on its last 5. They are much
# alike: kitti_mini_pairs_tiny.py holds other places.
_base_ = [
    '../_base_/models/simipu_r18-pointnet2msg_tiny.py',
    '../_base_/datasets/kitti_raw_seq_pairs_tiny.py',
    '../_base_/schedules/simipu_tiny.py',
    '../_base_/default_runtime.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[-2].update(num_points=2048)
test_pipeline = _base_.test_pipeline
test_pipeline[-2].update(num_points=2048)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(batch_size=2, dataset=dict(pipeline=test_pipeline))

param_scheduler = _base_.param_scheduler
param_scheduler['point'][1].update(end=40)
param_scheduler['image'][1].update(end=40)
train_cfg = dict(max_epochs=40)
