# The same beside a frozen image encoder with ImageNet weights: MobileNetV2.
_base_ = ['./simipu_r18-pillars-tiny_1xb2-40e_kitti-raw-seq.py']

model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    img_encoder=dict(
        _delete_=True,
        type='MobileNetV2Teacher',
        weights='{{$MM3D_DATA:../shared/data}}/nets2d/mobilenetv2_imagenet_dequant_fp16.npz',
        # strides 2 to 16; the last one has stride 32
        levels=(1, 3, 6, 13),
    ),
    img_head=dict(in_channels=16 + 24 + 32 + 96),
    img_levels=(0, 1, 2, 3),
)
