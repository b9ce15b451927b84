# Monocular depth: optimiser and schedule of the public depth toolbox, 16 pictures a step. There is
# no validation loop: the sets have no validation split, and the test split chooses nothing.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.95, 0.99), weight_decay=0.01),
    clip_grad=dict(max_norm=35),
)
param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=1e-4,
        end=24,
        div_factor=25,
        final_div_factor=100,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=24)
auto_scale_lr = dict(base_batch_size=16)

test_cfg = dict()
