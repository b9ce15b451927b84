# As _scratch, with every part below the head from a SimIPU pre-training on all training frames,
# without labels.
_base_ = ['./pointpillars-tiny_1xb4-80e_synthetic-streets_scratch.py']

model = dict(
    init_cfg=dict(
        type='mm3dpretrain.PretrainedParts',
        checkpoint='work_dirs/simipu_r18-pillars-tiny_1xb2-16e_synthetic-streets/epoch_16.pth',
        parts=dict(
            voxel_encoder='point_encoder.voxel_encoder.',
            middle_encoder='point_encoder.middle_encoder.',
            backbone='point_encoder.backbone.',
            neck='point_encoder.neck.',
        ),
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
