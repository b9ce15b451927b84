# As _ft of all labels, with the labels of one training room.
# An epoch has as many steps as with all of them.
_base_ = ['./minkunet-tiny_1xb2-6e_synthetic-rooms-seg_ft.py']
train_dataloader = dict(dataset=dict(scene_idxs=list(range(0, 100, 100)) * 100))
