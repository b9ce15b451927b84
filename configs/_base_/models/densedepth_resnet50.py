# ResNet-50 and the decoder of DenseDepth, as the public depth toolbox has them: the maps at strides
# 2 to 32 of 64 to 2048 channels, a decoder of 128 to 2048, no norm in it, depth from a sigmoid.
model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(
        type='PretrainDataPreprocessor',
        # RGB; what torchvision's weights expect
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
    ),
    stem='maxpool',
    decoder=dict(
        type='DenseDepthDecoder',
        in_channels=(64, 256, 512, 1024, 2048),
        channels=(128, 256, 512, 1024, 2048),
        max_depth=80.0,
    ),
    loss=dict(type='SigLoss'),
    flip_test=True,
)
