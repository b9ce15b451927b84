# As _ft of all labels, with the labels of every 20th of the 1,201 training scenes.
# An epoch has as many steps as with all of them.
_base_ = ['./minkunet34_4xb4-100e_scannet-seg_ft.py']
train_dataloader = dict(dataset=dict(scene_idxs=list(range(0, 1201, 20)) * 20))
