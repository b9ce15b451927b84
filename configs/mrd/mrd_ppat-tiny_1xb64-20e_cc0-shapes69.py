# Small: MRD on real shapes in the space of CLIP ViT-B-32, without a third of the classes of
# Shapes69, on which configs/downstream/zero_shot/mrd_ppat-tiny_shapes69-heldout_zeroshot.py judges
# it. Texts are real embeddings of a bank, images those of the small tower that
# clip-tiny-bank_1xb64-20e_cc0-shapes69.py trains in this space; it must not have seen the classes
# either. Once:
#   tools/precompute_embeddings.py THIS_FILE --splits train --texts clip_name class \
#       --teacher configs/mrd/clip-tiny-bank_1xb64-20e_cc0-shapes69.py \
#       --weights work_dirs/clip-tiny-bank_1xb64-20e_cc0-shapes69/epoch_20.pth \
#       --out data/embeddings/cc0_shapes69
# With the bank alone, --teacher configs/_base_/text_spaces/bank_vit-b-32_shapes69.py, shapes have
# no images, and the terms of texts alone train.
_base_ = [
    '../_base_/models/mrd_ppat-tiny.py',
    '../_base_/datasets/cc0_shapes69_embeddings.py',
    '../_base_/schedules/adamw_cosine_mrd_tiny.py',
    '../_base_/mrd_runtime_tiny.py',
]
