# Small: zero-shot classification among the 23 classes that a training left out (its data set has
# leave_out = held_out of the base config). No shape of theirs was seen, so that all splits count.
_base_ = ['./mrd_ppat-tiny_shapes69_zeroshot.py', '../../_base_/shapes69_held_out.py']

test_dataloader = dict(dataset=dict(split='all'))
test_evaluator = dict(classes=_base_.held_out)
