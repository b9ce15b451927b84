# CenterPoint on nuScenes, ten scans, voxels of 10 cm: mmdet3d's own network, data and schedule.
# Intensities are in [0, 1], as in the pre-training, so that _ft differs in the weights alone.
_base_ = ['mmdet3d::centerpoint/centerpoint_voxel01_second_secfpn_8xb4-cyclic-20e_nus-3d.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

_scale = dict(type='mm3dpretrain.ScaleIntensity', factor=1 / 255)
# after the pasted objects have come, and after the earlier scans
train_pipeline = [*_base_.train_pipeline[:4], _scale, *_base_.train_pipeline[4:]]
test_pipeline = [*_base_.test_pipeline[:2], _scale, *_base_.test_pipeline[2:]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
