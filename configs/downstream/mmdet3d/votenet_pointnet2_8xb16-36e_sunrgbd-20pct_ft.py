# As _ft of all labels, with the boxes of every 5th of the 5,285 training scenes.
_base_ = ['./votenet_pointnet2_8xb16-36e_sunrgbd_ft.py']
train_dataloader = dict(dataset=dict(times=25, dataset=dict(indices=list(range(0, 5285, 5)))))
