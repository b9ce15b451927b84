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

# mmdet3d 1.4 leaves PointSegClassMapping out of this pipeline: its evaluation would compare classes
# (0 to 19) with the NYU40 labels of the files (1 to 40)
test_pipeline = [
    dict(
        type='LoadPointsFromFile',
        coord_type='DEPTH',
        shift_height=False,
        use_color=True,
        load_dim=6,
        use_dim=[0, 1, 2, 3, 4, 5],
    ),
    dict(
        type='LoadAnnotations3D',
        with_bbox_3d=False,
        with_label_3d=False,
        with_mask_3d=False,
        with_seg_3d=True,
    ),
    dict(type='PointSegClassMapping'),
    dict(type='NormalizePointsColor', color_mean=None),
    dict(type='Pack3DDetInputs', keys=['points']),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
