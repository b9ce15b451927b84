# The same beside a frozen image encoder that has learnt street scenes with labels: ESPNet of
# Cityscapes. Points and heads learn, the image features stay: what labels are worth here.
_base_ = ['./simipu_r18-pillars-tiny_1xb2-40e_kitti-raw-seq.py']

model = dict(
    data_preprocessor=dict(
        mean=[73.158, 82.909, 72.392],
        # the published weights divide by 255 after the deviation
        std=[44.915 * 255, 46.153 * 255, 45.319 * 255],
    ),
    img_encoder=dict(
        _delete_=True,
        type='ESPNetTeacher',
        weights='{{$MM3D_DATA:../shared/data}}/nets2d/espnet_p2q8_cityscapes.pth',
        levels=(0, 1, 2),
    ),
    img_head=dict(in_channels=19 + 131 + 256),
    img_levels=(0, 1, 2),
)
