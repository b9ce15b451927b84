# SimIPU with what the public code leaves out; every line is a switch of its own.
_base_ = ['./simipu_r50-pointnet2msg.py']

model = dict(
    # RGB as torchvision's and most other networks get it
    data_preprocessor=dict(bgr=False, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    # offsets to the neighbours, in units of the radius, are features beside the reflectance
    point_encoder=dict(backbone=dict(sa_cfg=dict(use_xyz=True, normalize_xyz=True))),
    # C3, C4 and C5: with C5 alone 1024 points share a few hundred cells
    img_levels=(1, 2, 3),
    img_head=dict(in_channels=512 + 1024 + 2048),
    # the points learn from the pictures too
    detach='none',
    # two keypoints that are further apart are not the same place
    max_match_dist=1.0,
    valid_mask=True,
    contrast=dict(symmetric=True, gather_distributed=True),
    # A tighter tolerance takes slanted ground for hidden: the depth of a cell is its nearest point.
    projector=dict(align_corners=False, padding='border', tolerance=0.3, relative=True),
)
