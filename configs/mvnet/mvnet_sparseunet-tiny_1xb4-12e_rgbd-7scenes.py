# The small MVNet on 65 real frames of a kitchen, with the MobileNetV2 of ImageNet as teacher;
# tested on the last 20 frames of the same walk. One room: nothing here shows generalisation.
_base_ = [
    '../_base_/models/mvnet_sparseunet_tiny.py',
    '../_base_/datasets/rgbd_7scenes_frames.py',
    '../_base_/schedules/mvnet_tiny.py',
    '../_base_/default_runtime.py',
]

model = dict(
    teacher=dict(
        _delete_=True,
        type='MobileNetV2Teacher',
        weights='{{$MM3D_DATA:../shared/data}}/nets2d/mobilenetv2_imagenet_dequant_fp16.npz',
        # 24, 32 and 96 channels at strides 4, 8 and 16
        levels=(3, 6, 13),
    ),
    # colour and depth of 7-Scenes lie a few pixels apart, and its depth is noisy
    projector=dict(tolerance=0.1),
)
# 50 steps in an epoch
train_dataloader = dict(dataset=dict(max_tuples=200))
