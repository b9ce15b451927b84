# As mrd_ppat-tiny_1xb64-20e_cc0-shapes69.py, of the CC0 objects alone: all of Shapes69 is a test of
# classes and shapes that were never seen. Images are those of clip-tiny-bank_1xb64-20e_cc0.py:
#   tools/precompute_embeddings.py THIS_FILE --splits train --texts clip_name class \
#       --teacher configs/mrd/clip-tiny-bank_1xb64-20e_cc0.py \
#       --weights work_dirs/clip-tiny-bank_1xb64-20e_cc0/epoch_20.pth --out data/embeddings/cc0
_base_ = ['./mrd_ppat-tiny_1xb64-20e_cc0-shapes69.py']

_dataset = _base_.train_dataloader.dataset.datasets[0]
_dataset.pipeline[1].cache_dir = 'data/embeddings/cc0'
train_dataloader = dict(dataset=dict(_delete_=True, **_dataset))
