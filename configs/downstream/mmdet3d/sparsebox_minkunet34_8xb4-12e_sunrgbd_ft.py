# Boxes of SUN RGB-D from the voxels of a MinkUNet-34 on spconv, its encoder started from MVNet on
# ScanNet. Schedule and voxels per box are FCAF3D's or near it; nothing is known of MVNet's.
_base_ = [
    '../../_base_/models/sparsebox_minkunet34.py',
    'mmdet3d::_base_/datasets/sunrgbd-3d.py',
    '../../_base_/datasets/sunrgbd_det_colors.py',
    '../../_base_/schedules/adamw_sparse_det_12e.py',
    'mmdet3d::_base_/default_runtime.py',
]
model = dict(
    bbox_head=dict(
        num_classes=10,
        num_reg_outs=8,
        bbox_loss=dict(type='RotatedIoU3DLoss'),
    ),
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(dataset=dict(pipeline={{_base_.color_train_pipeline}})),
)
val_dataloader = dict(dataset=dict(pipeline={{_base_.color_test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.color_test_pipeline}}))
