# As _scratch of all labels, with the boxes of every 10th of the 1,201 training scenes.
_base_ = ['./votenet_pointnet2_8xb8-36e_scannet_scratch.py']
train_dataloader = dict(dataset=dict(times=50, dataset=dict(indices=list(range(0, 1201, 10)))))
