# As scanobjectnn_ft (PB-T50-RS), on OBJ-ONLY: objects without background.
_base_ = './pointtransformer_1xb32-300e_scanobjectnn_ft.py'

train_dataloader = dict(dataset=dict(variant='obj_only'))
test_dataloader = dict(dataset=dict(variant='obj_only'))
