# The same on one GPU: gradients of 8 batches are accumulated, so that a step sees 32 frames and the
# learning rates stay. What accumulation does not give back are negatives: a row has those of 4
# frames (4,096) instead of 32 (32,768), as in the public code, which never gathers them.
_base_ = ['./simipu_r50-pointnet2msg-improved_8xb4-100e_kitti.py']

optim_wrapper = dict(point=dict(accumulative_counts=8), image=dict(accumulative_counts=8))
