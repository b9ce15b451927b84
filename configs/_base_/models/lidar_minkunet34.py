# mmdet3d's MinkUNet-34 on spconv, as a pre-training encoder: its segmentors on SemanticKITTI take
# every weight. Use: point_encoder={{_base_.lidar_encoder}}.
lidar_encoder = dict(
    type='SparseUNetEncoder',
    voxel_size=0.05,
    backbone=dict(
        type='mmdet3d.MinkUNetBackbone',
        in_channels=4,
        num_stages=4,
        base_channels=32,
        encoder_channels=[32, 64, 128, 256],
        encoder_blocks=[2, 3, 4, 6],
        decoder_channels=[256, 128, 96, 96],
        decoder_blocks=[2, 2, 2, 2],
        block_type='basic',
        sparseconv_backend='spconv',
    ),
)
