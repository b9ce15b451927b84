# SimIPU on KITTI with all that this toolbox adds: configs/simipu/README.md lists the differences.
_base_ = [
    '../_base_/models/simipu_r50-pointnet2msg_improved.py',
    '../_base_/datasets/kitti_pairs_improved.py',
    '../_base_/schedules/simipu_two_optimizers_100e.py',
    '../_base_/default_runtime.py',
]

val_dataloader = {{_base_.test_dataloader}}
# epoch 50 is of interest too
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=-1))
