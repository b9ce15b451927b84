# The tokenizer of the small DR-Point: minutes on two CPU cores.
model = dict(
    type='PointDVAE',
    num_groups=32,
    group_size=16,
    encoder_dim=96,
    num_tokens=512,
    token_dim=96,
    decoder_dim=96,
    hidden_dims=(32, 64, 128),
    graph_dims=(64, 64, 128, 128),
    folding_dims=(128, 64),
    temperature=dict(iters=400),
    kl_weight=dict(iters=400, delay=50),
)
