# As on ModelNet40, on Objaverse-LVIS: 1,156 classes, coloured. A model that was trained on
# train_all has seen these shapes; train_no_lvis and train_shapenet_only have not.
#   tools/dataset_converters/make_class_embeddings.py \
#       --out data/class_embeddings/lvis_vit-bigg-14.npz --data THIS_FILE \
#       --openshape data/openshape/meta_data/lvis_cat_name_pt_feat.npy
_base_ = [
    '../../_base_/models/mrd_ppat.py',
    '../../_base_/datasets/objaverse_lvis_cls.py',
    '../../_base_/default_runtime.py',
]

test_evaluator = dict(
    type='ZeroShotMetric',
    class_embeddings='data/class_embeddings/lvis_vit-bigg-14.npz',
)
test_cfg = dict()
