# The same with the teacher's features from the disk: it runs once over every frame.
# tools/precompute_teacher_features.py configs/mvnet/mvnet_sparseunet34_8xb8-5e_scannet.py \
#     --out data/cache/dinov2_scannet
_base_ = './mvnet_sparseunet34_8xb8-5e_scannet.py'

_features = dict(type='LoadTeacherFeatures', cache_dir='data/cache/dinov2_scannet')
train_pipeline = [*_base_.train_pipeline, _features]
test_pipeline = [*_base_.test_pipeline, _features]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
