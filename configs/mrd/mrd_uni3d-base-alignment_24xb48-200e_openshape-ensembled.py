# The baseline, alignment alone, with the same recipe.
_base_ = './mrd_uni3d-base_24xb48-200e_openshape-ensembled.py'

model = dict(intra_loss=None, cross_loss=None, dynamic_weights=None)
