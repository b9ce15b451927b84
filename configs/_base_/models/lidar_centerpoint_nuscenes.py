# What CenterPoint (voxels of 0.1 m) has below its head on nuScenes, as a pre-training encoder:
# mmdet3d's centerpoint_voxel01_second_secfpn_nus takes every weight. Its points have five columns:
# x, y, z, intensity and the time of their sweep. Use: point_encoder={{_base_.lidar_encoder}}.
lidar_encoder = dict(
    type='LidarBEVEncoder',
    in_channels=5,
    num_keypoints=1024,
    voxel_layer=dict(
        max_num_points=10,
        point_cloud_range=[-51.2, -51.2, -5.0, 51.2, 51.2, 3.0],
        voxel_size=[0.1, 0.1, 0.2],
        max_voxels=(90000, 120000),
    ),
    voxel_encoder=dict(type='mmdet3d.HardSimpleVFE', num_features=5),
    middle_encoder=dict(
        type='mmdet3d.SparseEncoder',
        in_channels=5,
        sparse_shape=[41, 1024, 1024],
        output_channels=128,
        order=('conv', 'norm', 'act'),
        encoder_channels=((16, 16, 32), (32, 32, 64), (64, 64, 128), (128, 128)),
        encoder_paddings=((0, 0, 1), (0, 0, 1), (0, 0, [0, 1, 1]), (0, 0)),
        block_type='basicblock',
    ),
    backbone=dict(
        type='mmdet3d.SECOND',
        in_channels=256,
        out_channels=[128, 256],
        layer_nums=[5, 5],
        layer_strides=[1, 2],
    ),
    neck=dict(
        type='mmdet3d.SECONDFPN',
        in_channels=[128, 256],
        out_channels=[256, 256],
        upsample_strides=[1, 2],
        use_conv_for_no_stride=True,
    ),
)
