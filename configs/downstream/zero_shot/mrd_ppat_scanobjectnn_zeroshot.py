# As on ModelNet40, on OpenShape's ScanObjectNN: 15 classes of real scans.
#   tools/dataset_converters/make_class_embeddings.py \
#       --out data/class_embeddings/scanobjectnn_vit-bigg-14.npz --data THIS_FILE \
#       --openshape data/openshape/meta_data/scanobjectnn/cat_name_pt_feat.npy
_base_ = [
    '../../_base_/models/mrd_ppat.py',
    '../../_base_/datasets/scanobjectnn_openshape_cls.py',
    '../../_base_/default_runtime.py',
]

test_evaluator = dict(
    type='ZeroShotMetric',
    class_embeddings='data/class_embeddings/scanobjectnn_vit-bigg-14.npz',
)
test_cfg = dict()
