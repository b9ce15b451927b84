# PointPillars on KITTI, three classes (each epoch sees the set twice).
# Every part below the head starts from a pre-training with LidarBEVEncoder
# (configs/_base_/models/lidar_pointpillars_kitti.py).
_base_ = ['./pointpillars_lidarbev_8xb6-80e_kitti_scratch.py']

model = dict(
    init_cfg=dict(
        type='mm3dpretrain.PretrainedParts',
        checkpoint='work_dirs/simipu_r50-pointpillars_8xb4-100e_kitti/epoch_50.pth',
        parts=dict(
            voxel_encoder='point_encoder.voxel_encoder.',
            middle_encoder='point_encoder.middle_encoder.',
            backbone='point_encoder.backbone.',
            neck='point_encoder.neck.',
        ),
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
