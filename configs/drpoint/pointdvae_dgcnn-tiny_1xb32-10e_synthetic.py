# First stage of the small DR-Point: the tokenizer, on the embedded shapes.
_base_ = [
    '../_base_/models/pointdvae_tiny.py',
    '../_base_/datasets/synthetic_shapes_points.py',
    '../_base_/schedules/adamw_cosine_tokenizer_tiny.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(logger=dict(interval=10))
