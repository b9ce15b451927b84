# What PointPillars has below its head on KITTI, as a pre-training encoder: mmdet3d's
# pointpillars_hv_secfpn_kitti takes every weight. Use: point_encoder={{_base_.lidar_encoder}}.
_size = [0.16, 0.16, 4]
_range = [0, -39.68, -3, 69.12, 39.68, 1]
lidar_encoder = dict(
    type='LidarBEVEncoder',
    in_channels=4,
    num_keypoints=1024,
    voxel_layer=dict(
        max_num_points=32,
        point_cloud_range=_range,
        voxel_size=_size,
        max_voxels=(16000, 40000),
    ),
    voxel_encoder=dict(
        type='mmdet3d.PillarFeatureNet',
        in_channels=4,
        feat_channels=[64],
        with_distance=False,
        voxel_size=_size,
        point_cloud_range=_range,
    ),
    middle_encoder=dict(
        type='mmdet3d.PointPillarsScatter', in_channels=64, output_shape=[496, 432]
    ),
    backbone=dict(
        type='mmdet3d.SECOND',
        in_channels=64,
        layer_nums=[3, 5, 5],
        layer_strides=[2, 2, 2],
        out_channels=[64, 128, 256],
    ),
    neck=dict(
        type='mmdet3d.SECONDFPN',
        in_channels=[64, 128, 256],
        upsample_strides=[1, 2, 4],
        out_channels=[128, 128, 128],
    ),
)
