# MVNet on ScanNet: SR-UNet (MinkUNet-34 on spconv, voxels of 2.5 cm) learns from DINOv2 and from
# pairs of views. tools/dataset_converters/export_scannet_frames.py makes the data. Three stages of
# the decoder learn from three blocks of the teacher, in this order.
_base_ = [
    '../_base_/models/mvnet_dinov2.py',
    '../_base_/datasets/scannet_frames.py',
    '../_base_/schedules/mvnet_5e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    point_encoder=dict(
        type='SparseUNetEncoder',
        voxel_size=0.025,
        out_levels=[2, 3, 4],
        backbone=dict(
            type='mmdet3d.MinkUNetBackbone',
            in_channels=6,
            num_stages=4,
            base_channels=32,
            encoder_channels=[32, 64, 128, 256],
            encoder_blocks=[2, 3, 4, 6],
            decoder_channels=[256, 128, 96, 96],
            decoder_blocks=[2, 2, 2, 2],
            block_type='basic',
            sparseconv_backend='spconv',
        ),
    ),
    encoder_levels=(0, 1, 2),
)
