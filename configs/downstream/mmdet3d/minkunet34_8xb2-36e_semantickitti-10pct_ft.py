# As _ft, with the labels of every 10th of the 19,130 training scans only (SLidR's protocol).
# The mixing augmentations draw their second scan from the same list.
_base_ = ['./minkunet34_8xb2-36e_semantickitti_ft.py']
train_dataloader = dict(dataset=dict(indices=list(range(0, 19130, 10))))
