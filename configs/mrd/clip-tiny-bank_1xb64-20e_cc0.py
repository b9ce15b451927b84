# As clip-tiny-bank_1xb64-20e_cc0-shapes69.py, of the CC0 objects alone: without any of Shapes69.
_base_ = ['./clip-tiny-bank_1xb64-20e_cc0-shapes69.py']

train_dataloader = dict(
    dataset=dict(_delete_=True, **_base_.train_dataloader.dataset.datasets[0]),
)
