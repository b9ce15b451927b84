# mmdet3d's MinkUNet-34 on spconv for rooms: voxels of 2.5 cm, x y z and colours in [0, 1], as
# MVNet's configs pre-train it. 2.5 cm is PointContrast's; what MVNet used is unknown.
_base_ = ['mmdet3d::_base_/models/minkunet.py']
model = dict(
    data_preprocessor=dict(
        batch_first=True, max_voxels=None, voxel_layer=dict(voxel_size=[0.025, 0.025, 0.025])
    ),
    backbone=dict(in_channels=6, encoder_blocks=[2, 3, 4, 6], sparseconv_backend='spconv'),
    # the encoder alone starts from the pre-training, as in the paper; the -encdec configs add the
    # decoder
    init_cfg=dict(
        type='mm3dpretrain.PretrainedParts',
        checkpoint='work_dirs/mvnet_sparseunet34_8xb8-5e_scannet/epoch_5.pth',
        parts={
            'backbone.conv_input': 'point_encoder.backbone.conv_input.',
            'backbone.encoder': 'point_encoder.backbone.encoder.',
        },
    ),
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
