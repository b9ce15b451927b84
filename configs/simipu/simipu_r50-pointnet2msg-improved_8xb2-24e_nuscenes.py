# nuScenes with all six cameras: a point has the mean of the cameras that see it.
# One camera: train_dataloader.dataset.cameras="['CAM_FRONT']", then more frames fit on a GPU.
_base_ = [
    '../_base_/models/simipu_r50-pointnet2msg_improved.py',
    '../_base_/datasets/nuscenes_pairs.py',
    '../_base_/schedules/simipu_two_optimizers_100e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=2)
# fewer frames a step than on KITTI, and fewer epochs of many more frames
optim_wrapper = dict(point=dict(optimizer=dict(lr=5e-4)), image=dict(optimizer=dict(lr=0.015)))
param_scheduler = dict(
    point=[dict(type='ExponentialLR', gamma=0.96, by_epoch=True)],
    image=[dict(type='ExponentialLR', gamma=0.96, by_epoch=True)],
)
train_cfg = dict(max_epochs=24, val_interval=4)
val_dataloader = {{_base_.test_dataloader}}
