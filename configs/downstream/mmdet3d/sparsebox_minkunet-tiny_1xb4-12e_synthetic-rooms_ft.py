# Boxes of SyntheticRooms on one CPU core: the narrow MinkUNet of the small MVNet on voxels of 5 cm.
_base_ = [
    '../../_base_/models/sparsebox_minkunet34.py',
    '../../_base_/datasets/synthetic_rooms_det.py',
    '../../_base_/datasets/scannet_det_colors.py',
    '../../_base_/schedules/adamw_sparse_det_12e.py',
    'mmdet3d::_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        voxel_size=0.05,
        out_levels=(1, 2, 3),
        backbone=dict(
            base_channels=16,
            encoder_channels=[16, 32, 64, 64],
            encoder_blocks=[1, 1, 1, 1],
            decoder_channels=[64, 64, 32, 32],
            decoder_blocks=[1, 1, 1, 1],
        ),
    ),
    bbox_head=dict(in_channels=(64, 64, 32), out_channels=64),
    init_cfg=dict(
        checkpoint='work_dirs/mvnet_sparseunet-tiny_1xb4-12e_synthetic-rooms/epoch_12.pth'
    ),
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(times=1, dataset=dict(pipeline={{_base_.color_train_pipeline}})),
)
val_dataloader = dict(dataset=dict(pipeline={{_base_.color_test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.color_test_pipeline}}))
optim_wrapper = dict(optimizer=dict(lr=3e-3))
