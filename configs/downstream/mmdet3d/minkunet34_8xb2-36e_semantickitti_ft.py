# LiDAR segmentation on SemanticKITTI: mmdet3d's MinkUNet-34 on spconv, started from a pre-training
# with SparseUNetEncoder around the same backbone. All labels.
_base_ = ['mmdet3d::minkunet/minkunet34_w32_spconv_8xb2-laser-polar-mix-3x_semantickitti.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pretrain_minkunet34/epoch_last.pth',
            prefix='point_encoder.backbone.',
        )
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
