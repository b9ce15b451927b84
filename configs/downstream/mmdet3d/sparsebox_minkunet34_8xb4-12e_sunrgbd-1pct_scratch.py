# As _scratch of all labels, with the boxes of every 100th of the 5,285 training scenes.
_base_ = ['./sparsebox_minkunet34_8xb4-12e_sunrgbd_scratch.py']
train_dataloader = dict(dataset=dict(times=500, dataset=dict(indices=list(range(0, 5285, 100)))))
