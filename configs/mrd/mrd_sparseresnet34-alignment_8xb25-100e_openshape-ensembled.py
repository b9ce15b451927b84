# The baseline, alignment alone, with the same recipe.
_base_ = './mrd_sparseresnet34_8xb25-100e_openshape-ensembled.py'

model = dict(intra_loss=None, cross_loss=None, dynamic_weights=None)
