# What SECOND has below its head on KITTI, as a pre-training encoder: mmdet3d's
# second_hv_secfpn_kitti takes every weight. Use: point_encoder={{_base_.lidar_encoder}}.
_size = [0.05, 0.05, 0.1]
_range = [0, -40, -3, 70.4, 40, 1]
lidar_encoder = dict(
    type='LidarBEVEncoder',
    in_channels=4,
    num_keypoints=1024,
    voxel_layer=dict(
        max_num_points=5,
        point_cloud_range=_range,
        voxel_size=_size,
        max_voxels=(16000, 40000),
    ),
    voxel_encoder=dict(type='mmdet3d.HardSimpleVFE'),
    middle_encoder=dict(
        type='mmdet3d.SparseEncoder',
        in_channels=4,
        sparse_shape=[41, 1600, 1408],
        order=('conv', 'norm', 'act'),
    ),
    backbone=dict(
        type='mmdet3d.SECOND',
        in_channels=256,
        layer_nums=[5, 5],
        layer_strides=[1, 2],
        out_channels=[128, 256],
    ),
    neck=dict(
        type='mmdet3d.SECONDFPN',
        in_channels=[128, 256],
        upsample_strides=[1, 2],
        out_channels=[256, 256],
    ),
)
