# As -encdec_ft of all labels, with the labels of every 10th of the 1,201 training scenes.
_base_ = ['./minkunet34_4xb4-100e_scannet-seg-encdec_ft.py']
train_dataloader = dict(dataset=dict(scene_idxs=list(range(0, 1201, 10)) * 10))
