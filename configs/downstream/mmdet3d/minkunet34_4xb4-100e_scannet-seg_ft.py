# Semantic segmentation of ScanNet, whole scenes, all labels. The encoder starts from MVNet.
_base_ = [
    '../../_base_/models/minkunet34_indoor.py',
    'mmdet3d::_base_/datasets/scannet-seg.py',
    '../../_base_/datasets/indoor_scenes_voxels.py',
    '../../_base_/schedules/sgd_cosine_seg_100e.py',
    'mmdet3d::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(decode_head=dict(num_classes=20, ignore_index=20))
train_dataloader = dict(
    batch_size=4,
    # every scene once an epoch; the 1,201 training scenes of mmdet3d's list
    dataset=dict(pipeline={{_base_.scene_train_pipeline}}, scene_idxs=list(range(1201))),
)
val_dataloader = dict(dataset=dict(pipeline={{_base_.scene_test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.scene_test_pipeline}}))
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2))
