# A small tokenizer for smoke runs on a CPU; patches as in point_transformer_tiny.py.
model = dict(
    type='PointDVAE',
    num_groups=32,
    group_size=16,
    encoder_dim=64,
    num_tokens=256,
    token_dim=64,
    decoder_dim=64,
    temperature=dict(start=1.0, end=0.0625, iters=200),
    kl_weight=dict(start=0.0, end=0.1, iters=200, delay=20),
)
