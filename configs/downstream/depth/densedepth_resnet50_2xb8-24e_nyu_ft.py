# NYU Depth v2, the image encoder from SimIPU: protocol of the public depth toolbox.
_base_ = [
    '../../_base_/models/densedepth_resnet50.py',
    '../../_base_/datasets/nyu_depth.py',
    '../../_base_/schedules/depth_24e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/simipu_r50-pointnet2msg-improved_8xb4-100e_kitti/epoch_50.pth',
            prefix='img_encoder.',
        )
    ),
    decoder=dict(max_depth=10.0),
)
