# As _scratch, with the image encoder of a small SimIPU pre-training on all training frames, without
# labels. The LiDAR branch starts from random weights in both.
_base_ = ['./mvxnet_resnet18-tiny_1xb4-60e_synthetic-streets_scratch.py']

model = dict(
    init_cfg=dict(
        type='mm3dpretrain.PretrainedParts',
        checkpoint='work_dirs/simipu_r18-pointnet2msg-tiny_1xb2-16e_synthetic-streets/epoch_16.pth',
        parts=dict(img_backbone='img_encoder.'),
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
