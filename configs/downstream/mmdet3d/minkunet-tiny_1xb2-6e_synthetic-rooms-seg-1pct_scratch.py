# As _scratch of all labels, with the labels of one training room.
_base_ = ['./minkunet-tiny_1xb2-6e_synthetic-rooms-seg_scratch.py']
train_dataloader = dict(dataset=dict(scene_idxs=list(range(0, 100, 100)) * 100))
