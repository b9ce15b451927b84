# The baseline, alignment alone, with the same recipe.
_base_ = './mrd_ppat_8xb25-100e_openshape-shapenet.py'

model = dict(intra_loss=None, cross_loss=None, dynamic_weights=None)
