# Pairs of rendered views of shapes in the unit sphere; 2048 points, pictures of 128 x 128.
# tools/dataset_converters/render_views.py <meshes> data/shapes_frames --layout rgbd
# Views and their sizes are this project's choice: MVNet's views of Objaverse are not specified.
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='ResizeFrames', size=(128, 128)),
    dict(type='LoadSceneCloud'),
    dict(type='SamplePoints', num_points=2048, allow_repeat=True),
    dict(type='RotateScaleScene', max_angle=180, scale=(0.8, 1.2)),
    dict(type='SampleCorrespondences', num=256, depth_tol=0.02),
    dict(type='ColorJitterView', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PackFrames'),
]
test_pipeline = [
    dict(type='LoadFrames'),
    dict(type='ResizeFrames', size=(128, 128)),
    dict(type='LoadSceneCloud'),
    dict(type='SamplePoints', num_points=2048, allow_repeat=True),
    dict(type='SampleCorrespondences', num=256, depth_tol=0.02),
    dict(type='PackFrames'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ShapeFrames',
        data_root='data/shapes_frames',
        split='train',
        min_overlap=0.3,
        # the whole shape: its points were drawn from the mesh
        cloud='file',
        pipeline=train_pipeline,
    ),
)
# every tenth shape
test_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ShapeFrames',
        data_root='data/shapes_frames',
        split='test',
        min_overlap=0.3,
        cloud='file',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
