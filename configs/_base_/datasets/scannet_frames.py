# Pairs of frames of ScanNet, 240 x 320 pictures, every 25th frame, overlap of at least 0.3.
# tools/dataset_converters/export_scannet_frames.py SCANNET/scans data/scannet_frames
# Choice of views, sizes and augmentation are this project's: MVNet's own are unknown. 240 x 320 and
# 0.3 are Pri3D's; rotation and scale are PointContrast's, which has no translation of the views.
train_pipeline = [
    dict(type='LoadFrames', grid='depth'),
    dict(type='ResizeFrames', size=(240, 320)),
    dict(type='LoadSceneCloud', voxel_size=0.025),
    dict(type='SamplePoints', num_points=20000, allow_repeat=True),
    dict(type='RotateScaleScene', max_angle=180, scale=(0.8, 1.2)),
    dict(type='SampleCorrespondences', num=512, depth_tol=0.05),
    dict(type='ColorJitterView', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PackFrames'),
]
test_pipeline = [
    dict(type='LoadFrames', grid='depth'),
    dict(type='ResizeFrames', size=(240, 320)),
    dict(type='LoadSceneCloud', voxel_size=0.025),
    dict(type='SamplePoints', num_points=20000, allow_repeat=True),
    dict(type='SampleCorrespondences', num=512, depth_tol=0.05),
    dict(type='PackFrames'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ScanNetFrames',
        data_root='data/scannet_frames',
        split='train',
        min_overlap=0.3,
        overlap_stride=8,
        # PointContrast: 20 thousand of 843 thousand pairs are already good
        max_tuples=64,
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ScanNetFrames',
        data_root='data/scannet_frames',
        split='val',
        min_overlap=0.3,
        overlap_stride=8,
        max_tuples=8,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
