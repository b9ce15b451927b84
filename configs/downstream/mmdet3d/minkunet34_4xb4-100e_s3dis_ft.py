# Semantic segmentation of S3DIS, area 5 held out, whole rooms, all labels. The encoder starts from
# MVNet on ScanNet.
_base_ = [
    '../../_base_/models/minkunet34_indoor.py',
    'mmdet3d::_base_/datasets/s3dis-seg.py',
    '../../_base_/datasets/indoor_scenes_voxels.py',
    '../../_base_/schedules/sgd_cosine_seg_100e.py',
    'mmdet3d::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(decode_head=dict(num_classes=13, ignore_index=13))
# rooms of areas 1, 2, 3, 4 and 6, every one once an epoch
rooms = (44, 40, 23, 49, 48)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline={{_base_.scene_train_pipeline}}, scene_idxs=[list(range(n)) for n in rooms]
    ),
)
val_dataloader = dict(dataset=dict(pipeline={{_base_.scene_test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.scene_test_pipeline}}))
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2))
