# What PointPillars has below its head on nuScenes, as a pre-training encoder. Its points have five
# columns: x, y, z, intensity and the time of their sweep (mmdet3d's own PointPillars drops the
# intensity). Use: point_encoder={{_base_.lidar_encoder}}.
_size = [0.25, 0.25, 8]
_range = [-50, -50, -5, 50, 50, 3]
_norm = dict(type='naiveSyncBN2d', eps=1e-3, momentum=0.01)
lidar_encoder = dict(
    type='LidarBEVEncoder',
    in_channels=5,
    num_keypoints=1024,
    voxel_layer=dict(
        max_num_points=64,
        point_cloud_range=_range,
        voxel_size=_size,
        max_voxels=(30000, 40000),
    ),
    voxel_encoder=dict(
        type='mmdet3d.HardVFE',
        in_channels=5,
        feat_channels=[64, 64],
        with_distance=False,
        voxel_size=_size,
        with_cluster_center=True,
        with_voxel_center=True,
        point_cloud_range=_range,
        norm_cfg=dict(type='naiveSyncBN1d', eps=1e-3, momentum=0.01),
    ),
    middle_encoder=dict(
        type='mmdet3d.PointPillarsScatter', in_channels=64, output_shape=[400, 400]
    ),
    backbone=dict(
        type='mmdet3d.SECOND',
        in_channels=64,
        norm_cfg=_norm,
        layer_nums=[3, 5, 5],
        layer_strides=[2, 2, 2],
        out_channels=[64, 128, 256],
    ),
    neck=dict(
        type='mmdet3d.SECONDFPN',
        norm_cfg=_norm,
        in_channels=[64, 128, 256],
        upsample_strides=[1, 2, 4],
        out_channels=[128, 128, 128],
    ),
)
