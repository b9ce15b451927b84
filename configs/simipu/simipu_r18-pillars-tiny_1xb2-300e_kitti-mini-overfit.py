# Eight real frames of KITTI, learnt by heart: shows that pictures, points and calibration belong
# together. Tested on the frames that it has seen, without augmentation; says nothing of others.
_base_ = ['./simipu_r18-pillars-tiny_1xb2-16e_synthetic-streets.py']

data = '{{$MM3D_DATA:../shared/data}}/kitti_mini'
picture = dict(type='ResizePictures', size=(192, 640), keep_ratio=False)
train_pipeline = [t for t in _base_.train_pipeline if t['type'] != 'JitterPictures']
train_pipeline[2] = picture
train_pipeline[3] = dict(type='FlipPictures', prob=0.0)
test_pipeline = _base_.test_pipeline
test_pipeline[2] = picture
train_dataloader = dict(
    dataset=dict(data_root=data, split='trainval', indices=8, pipeline=train_pipeline)
)
test_dataloader = dict(
    dataset=dict(data_root=data, split='trainval', indices=8, pipeline=test_pipeline)
)

param_scheduler = _base_.param_scheduler
param_scheduler['point'][1].update(end=300)
param_scheduler['image'][1].update(end=300)
train_cfg = dict(max_epochs=300)
default_hooks = dict(checkpoint=dict(interval=50, max_keep_ckpts=2))
