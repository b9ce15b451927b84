# As _scratch; every part below the head starts from a pre-training with LidarBEVEncoder around the
# same modules (configs/_base_/models/lidar_centerpoint_nuscenes.py), on x, y, z, intensity and the
# age of ten scans. Other encoders: name other parts and prefixes.
_base_ = ['./centerpoint_lidarbev_8xb4-20e_nuscenes_scratch.py']

model = dict(
    init_cfg=dict(
        type='mm3dpretrain.PretrainedParts',
        checkpoint='work_dirs/simipu_r50-centerpoint_8xb2-24e_nuscenes/epoch_24.pth',
        parts=dict(
            pts_voxel_encoder='point_encoder.voxel_encoder.',
            pts_middle_encoder='point_encoder.middle_encoder.',
            pts_backbone='point_encoder.backbone.',
            pts_neck='point_encoder.neck.',
        ),
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
