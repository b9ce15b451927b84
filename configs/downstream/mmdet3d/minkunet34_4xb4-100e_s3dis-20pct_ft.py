# As _ft of all labels, with the labels of every 5th of the 204 training rooms.
# An epoch has as many steps as with all of them.
_base_ = ['./minkunet34_4xb4-100e_s3dis_ft.py']
# number of the first and after the last room of areas 1, 2, 3, 4 and 6
rooms = ((0, 44), (44, 84), (84, 107), (107, 156), (156, 204))
train_dataloader = dict(
    dataset=dict(
        scene_idxs=[
            [i - first for i in range(0, 204, 5) if first <= i < end] * 5 for first, end in rooms
        ]
    )
)
