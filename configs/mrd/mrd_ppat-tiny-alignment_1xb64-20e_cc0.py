# The baseline, alignment alone, with the same recipe.
_base_ = ['./mrd_ppat-tiny_1xb64-20e_cc0.py']

model = dict(intra_loss=None, cross_loss=None, dynamic_weights=None)
