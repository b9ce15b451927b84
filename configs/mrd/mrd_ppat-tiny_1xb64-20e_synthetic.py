# Small: MRD on the embedded shapes in the space of the embedded CLIP, minutes on two CPU cores.
# Its embeddings, once:
#   tools/train.py configs/mrd/clip-tiny_1xb64-30e_synthetic.py
#   tools/precompute_embeddings.py configs/mrd/clip-tiny_1xb64-30e_synthetic.py \
#       --weights work_dirs/clip-tiny_1xb64-30e_synthetic/epoch_30.pth --splits train \
#       --out data/embeddings/synthetic_train
_base_ = [
    '../_base_/models/mrd_ppat-tiny.py',
    '../_base_/datasets/synthetic_shapes_embeddings.py',
    '../_base_/schedules/adamw_cosine_mrd_tiny.py',
    '../_base_/mrd_runtime_tiny.py',
]

model = dict(embed_dim=128)
