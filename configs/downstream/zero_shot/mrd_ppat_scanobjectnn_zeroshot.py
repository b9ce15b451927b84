# As on ModelNet40, on OpenShape's ScanObjectNN: 15 classes of real scans.
#   tools/dataset_converters/make_class_embeddings.py \
#       --out data/class_embeddings/scanobjectnn_vit-bigg-14.npz --data THIS_FILE \
#       --openshape data/openshape/meta_data/scanobjectnn/cat_name_pt_feat.npy
_base_ = './mrd_ppat_modelnet40_zeroshot.py'

test_dataloader = dict(dataset=dict(type='OpenShapeScanObjectNN'))
test_evaluator = dict(class_embeddings='data/class_embeddings/scanobjectnn_vit-bigg-14.npz')
