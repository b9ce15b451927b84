# SimIPU on KITTI as the public code trains it; the checkpoint of epoch 50 is the one it transfers.
_base_ = [
    '../_base_/models/simipu_r50-pointnet2msg.py',
    '../_base_/datasets/kitti_pairs.py',
    '../_base_/schedules/simipu_two_optimizers_100e.py',
    '../_base_/default_runtime.py',
]

val_dataloader = {{_base_.test_dataloader}}
# epoch 50 is of interest too
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=-1))
