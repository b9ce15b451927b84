# As _scratch, with the labels of every 4th of the 28,130 training key frames (SLidR's protocol).
# The mixing augmentations draw their second scan from the same list.
_base_ = ['./minkunet34_8xb2-36e_nuscenes-seg_scratch.py']
train_dataloader = dict(dataset=dict(indices=list(range(0, 28130, 4))))
