# VoteNet on SUN RGB-D: mmdet3d's own, with colours instead of the height over the floor. Its
# PointNet++ starts from MVNet on ScanNet: set abstraction alone, as in the paper; -encdec adds the
# feature propagation.
_base_ = [
    'mmdet3d::votenet/votenet_8xb16_sunrgbd-3d.py',
    '../../_base_/datasets/sunrgbd_det_colors.py',
]
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    backbone=dict(in_channels=6),
    init_cfg=dict(
        type='mm3dpretrain.PretrainedParts',
        checkpoint='work_dirs/mvnet_pointnet2_8xb8-5e_scannet/epoch_5.pth',
        parts={'backbone.SA_modules': 'point_encoder.backbone.SA_modules.'},
    ),
)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline={{_base_.color_train_pipeline}})),
)
val_dataloader = dict(dataset=dict(pipeline={{_base_.color_test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.color_test_pipeline}}))
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
