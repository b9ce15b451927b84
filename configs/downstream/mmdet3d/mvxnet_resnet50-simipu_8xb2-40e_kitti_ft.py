# As _scratch, with the image encoder of a SimIPU pre-training: one of this toolbox, or a released
# file that tools/model_converters/simipu_to_mm3d.py has turned.
_base_ = ['./mvxnet_resnet50_8xb2-40e_kitti_scratch.py']
model = dict(
    img_backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/simipu_r50-pointnet2msg-improved_8xb4-100e_kitti/epoch_50.pth',
            prefix='img_encoder.',
        )
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
