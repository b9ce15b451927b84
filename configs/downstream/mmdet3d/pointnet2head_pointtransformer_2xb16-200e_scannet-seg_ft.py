# Semantic segmentation of ScanNet with the pre-trained point transformer and mmdet3d's own
# PointNet++ head, data and schedule: features of three blocks, carried from the patches to all
# points. Colours are not encoded: the pre-training saw none.
_base_ = ['mmdet3d::pointnet2/pointnet2_ssg_2xb16-cosine-200e_scannet-seg.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='mm3dpretrain.PointTransformerBackbone',
        num_groups=512,
        group_size=32,
        num_seeds=0,
        out_indices=(3, 7, 11),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='point_encoder.',
        ),
    ),
    decode_head=dict(fp_channels=((1152, 512, 256, 128),)),
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
