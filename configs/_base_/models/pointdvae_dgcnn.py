# Tokenizer of Point-BERT: 8192 tokens of 256 channels for 64 patches of 32 points. The schedules of
# the Gumbel temperature and of the KL weight are those of its released runner, in iterations.
model = dict(
    type='PointDVAE',
    num_groups=64,
    group_size=32,
    encoder_dim=256,
    num_tokens=8192,
    token_dim=256,
    decoder_dim=256,
    temperature=dict(start=1.0, end=0.0625, iters=100_000),
    kl_weight=dict(start=0.0, end=0.1, iters=100_000, delay=10_000),
)
