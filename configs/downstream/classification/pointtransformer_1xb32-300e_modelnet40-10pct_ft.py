# As modelnet40_ft with the labels of a tenth of every class, by the list of label_seed 0.
_base_ = './pointtransformer_1xb32-300e_modelnet40_ft.py'

train_dataloader = dict(dataset=dict(label_fraction=0.1, label_seed=0))
