# The baseline of mrd_ppat-tiny.py: alignment alone.
_base_ = ['./mrd_ppat-tiny.py']

model = dict(intra_loss=None, cross_loss=None, dynamic_weights=None)
