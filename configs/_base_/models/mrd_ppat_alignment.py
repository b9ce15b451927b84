# The baseline of mrd_ppat.py: the same encoder and recipe with OpenShape's loss, alignment alone.
_base_ = ['./mrd_ppat.py']

model = dict(intra_loss=None, cross_loss=None, dynamic_weights=None)
