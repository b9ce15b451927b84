# Waymo's front camera, every fifth frame (31,632 of them in the public code).
# A share of the scenes: train_dataloader.dataset.scene_share=0.1.
_base_ = [
    '../_base_/models/simipu_r50-pointnet2msg_improved.py',
    '../_base_/datasets/waymo_pairs.py',
    '../_base_/schedules/simipu_two_optimizers_100e.py',
    '../_base_/default_runtime.py',
]

train_cfg = dict(max_epochs=50)
val_dataloader = {{_base_.test_dataloader}}
