# Small: depth from 16 labelled streets on a CPU, the image encoder from a small SimIPU.
_base_ = [
    '../../_base_/models/simipu_r18-pointnet2msg_tiny.py',
    '../../_base_/datasets/synthetic_streets_depth.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    _delete_=True,
    type='DepthEstimator',
    data_preprocessor=dict(
        type='PretrainDataPreprocessor',
        mean=_base_.model.data_preprocessor.mean,
        std=_base_.model.data_preprocessor.std,
    ),
    backbone=dict(
        _base_.model.img_encoder,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/simipu_r18-pointnet2msg-tiny_1xb2-16e_synthetic-streets/epoch_16.pth',
            prefix='img_encoder.',
        ),
    ),
    decoder=dict(
        type='DenseDepthDecoder',
        in_channels=(16, 32, 64, 128),
        channels=(32, 32, 64, 64),
        norm_cfg=dict(type='BN'),
    ),
    flip_test=True,
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.95, 0.99), weight_decay=0.01),
    clip_grad=dict(max_norm=35),
)
param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=2e-3,
        end=100,
        div_factor=25,
        final_div_factor=100,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
test_cfg = dict()
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=50))
