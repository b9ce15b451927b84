# KITTI with what SimIPU leaves out: depth pictures that tell what is hidden, colour jitter,
# pictures that are cropped instead of large, and scans that are turned under their pictures. Scans
# of the whole turn serve too.
_base_ = ['./kitti_pairs.py']

train_pipeline = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(192, 640), max_size=(720, 2400)),
    # the largest picture is what the memory must hold
    dict(type='CropPictures', size=(384, 1280)),
    dict(type='JitterPictures', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='FlipPictures', prob=0.5),
    dict(type='LidarDepth', stride=4),
    dict(type='PointsInPicture'),
    dict(type='TurnLidar'),
    dict(type='PointsInRange', point_cloud_range={{_base_.point_cloud_range}}),
    dict(type='TwoViewPoints', num_points=16384),
    dict(type='PackPairs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
