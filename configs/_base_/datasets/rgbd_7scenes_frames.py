# Small: 85 real RGB-D frames of one kitchen of 7-Scenes; the first 65 to learn from, the last 20
# held out. One room: nothing here shows generalisation. 4096 points, pictures of 120 x 160.
_base_ = ['./synthetic_rooms_frames.py']

_set = dict(
    _delete_=True,
    type='SevenScenesFrames',
    data_root='{{$MM3D_DATA:../shared/data}}/rgbd_7scenes',
    split='all',
    min_overlap=0.3,
    overlap_stride=8,
)
train_dataloader = dict(
    dataset=dict(
        frame_range=(None, 65),
        max_tuples=512,
        pipeline={{_base_.train_pipeline}},
        **_set,
    )
)
test_dataloader = dict(
    dataset=dict(
        frame_range=(-20, None),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
        **_set,
    )
)
