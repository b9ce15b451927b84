# Boxes from the voxels of a MinkUNet-34 on spconv, at 40, 20 and 10 cm; the weights are those of
# SparseUNetEncoder in MVNet's configs. Voxels per box are this project's choice: half of FCAF3D's,
# whose neck also grows voxels inside of things.
custom_imports = dict(
    imports=['mm3dpretrain', 'mm3dpretrain.models.downstream.sparse_box_head'],
    allow_failed_imports=False,
)
model = dict(
    type='SingleStage3DDetector',
    data_preprocessor=dict(type='Det3DDataPreprocessor'),
    backbone=dict(
        type='mm3dpretrain.SparseVoxelBackbone',
        voxel_size=0.025,
        out_levels=(0, 1, 2),
        backbone=dict(
            type='mmdet3d.MinkUNetBackbone',
            in_channels=6,
            num_stages=4,
            base_channels=32,
            encoder_channels=[32, 64, 128, 256],
            encoder_blocks=[2, 3, 4, 6],
            decoder_channels=[256, 128, 96, 96],
            decoder_blocks=[2, 2, 2, 2],
        ),
    ),
    bbox_head=dict(
        type='mm3dpretrain.SparseBoxHead',
        num_classes=18,
        in_channels=(256, 256, 128),
        pts_assign_threshold=12,
        pts_center_threshold=12,
    ),
    train_cfg=dict(),
    test_cfg=dict(nms_pre=1000, iou_thr=0.5, score_thr=0.01),
    init_cfg=dict(
        type='mm3dpretrain.PretrainedParts',
        checkpoint='work_dirs/mvnet_sparseunet34_8xb8-5e_scannet/epoch_5.pth',
        parts={
            'backbone.backbone.conv_input': 'point_encoder.backbone.conv_input.',
            'backbone.backbone.encoder': 'point_encoder.backbone.encoder.',
        },
    ),
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
# the last stages of the decoder serve no level
model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
