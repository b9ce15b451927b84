# Small: pillars of 0.4 m in the 51 m ahead, for a CPU. The small detectors on SyntheticStreets take
# every weight. Use: point_encoder={{_base_.lidar_encoder}}.
_size = [0.4, 0.4, 4]
_range = [0, -25.6, -3, 51.2, 25.6, 1]
# With mmdet3d's momentum of 0.01 the running statistics lag behind in a few hundred steps.
_norm_1d = dict(type='BN1d', eps=1e-3, momentum=0.1)
_norm_2d = dict(type='BN', eps=1e-3, momentum=0.1)
lidar_encoder = dict(
    type='LidarBEVEncoder',
    in_channels=4,
    num_keypoints=1024,
    voxel_type='dynamic',
    voxel_layer=dict(
        max_num_points=-1,
        point_cloud_range=_range,
        voxel_size=_size,
        max_voxels=(-1, -1),
    ),
    voxel_encoder=dict(
        type='mmdet3d.DynamicVFE',
        in_channels=4,
        feat_channels=[32, 32],
        with_cluster_center=True,
        with_voxel_center=True,
        voxel_size=_size,
        point_cloud_range=_range,
        norm_cfg=_norm_1d,
    ),
    middle_encoder=dict(
        type='mmdet3d.PointPillarsScatter', in_channels=32, output_shape=[128, 128]
    ),
    backbone=dict(
        type='mmdet3d.SECOND',
        in_channels=32,
        layer_nums=[2, 2],
        layer_strides=[2, 2],
        out_channels=[32, 64],
        norm_cfg=_norm_2d,
    ),
    neck=dict(
        type='mmdet3d.SECONDFPN',
        in_channels=[32, 64],
        upsample_strides=[1, 2],
        out_channels=[32, 32],
        norm_cfg=_norm_2d,
    ),
)
