# As _scratch, with the image encoder of a SimIPU pre-training: one of this toolbox, or a released
# file that tools/model_converters/simipu_to_mm3d.py has turned.
_base_ = ['./fcos3d_resnet50_8xb2-12e_nuscenes_scratch.py']
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='work_dirs/simipu_r50-pointnet2msg-improved_8xb4-100e_kitti/epoch_50.pth',
            prefix='img_encoder.',
        )
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
