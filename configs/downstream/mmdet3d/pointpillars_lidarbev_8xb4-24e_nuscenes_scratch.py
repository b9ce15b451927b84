# PointPillars on nuScenes, ten scans: mmdet3d's own network, data and schedule, and the intensity
# of the points beside their time. It is in [0, 1], as in the pre-training, so that _ft differs in
# the weights alone.
_base_ = ['mmdet3d::pointpillars/pointpillars_hv_secfpn_sbn-all_8xb4-2x_nus-3d.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(pts_voxel_encoder=dict(in_channels=5))
_sweeps = dict(type='LoadPointsFromMultiSweeps', sweeps_num=10, use_dim=[0, 1, 2, 3, 4])
_scale = dict(type='mm3dpretrain.ScaleIntensity', factor=1 / 255)
train_pipeline = [_base_.train_pipeline[0], _sweeps, _scale, *_base_.train_pipeline[2:]]
test_pipeline = [_base_.test_pipeline[0], _sweeps, _scale, *_base_.test_pipeline[2:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
