# First stage of the small DR-Point: the tokenizer, on real shapes.
_base_ = [
    '../_base_/models/pointdvae_tiny.py',
    '../_base_/datasets/cc0_shapes69_points.py',
    '../_base_/schedules/adamw_cosine_tokenizer_tiny.py',
    '../_base_/default_runtime.py',
]
