# VoteNet on ScanNet with the pre-trained point transformer in place of PointNet++; mmdet3d's own
# data, head and schedule. Patches, seeds and the smaller step of the encoder are this project's
# choices: the papers do not describe them.
_base_ = ['mmdet3d::votenet/votenet_8xb8_scannet-3d.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='mm3dpretrain.PointTransformerBackbone',
        num_groups=512,
        group_size=32,
        num_seeds=1024,
        fp_channels=(256, 256),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='point_encoder.',
        ),
    )
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'backbone.seed_propagation': dict(lr_mult=1.0),
        }
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
