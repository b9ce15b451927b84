# Zero-shot classification of ModelNet40's test split in OpenShape's files: 10,000 grey points, +z
# up after its swap of y and z, 40 classes. The class embeddings of the teacher of OpenShape's data:
#   tools/dataset_converters/make_class_embeddings.py \
#       --out data/class_embeddings/modelnet40_vit-bigg-14.npz --data THIS_FILE \
#       --openshape data/openshape/meta_data/modelnet40/cat_name_pt_feat.npy
# or with your own text tower: --text configs/_base_/text_spaces/clip_vit-bigg-14.py
_base_ = [
    '../../_base_/models/mrd_ppat.py',
    '../../_base_/datasets/modelnet40_openshape_cls.py',
    '../../_base_/default_runtime.py',
]

test_evaluator = dict(
    type='ZeroShotMetric',
    class_embeddings='data/class_embeddings/modelnet40_vit-bigg-14.npz',
)
test_cfg = dict()
