# As on ModelNet40, on Objaverse-LVIS: 1,156 classes, coloured. A model that was trained on
# train_all has seen these shapes; train_no_lvis and train_shapenet_only have not.
#   tools/dataset_converters/make_class_embeddings.py \
#       --out data/class_embeddings/lvis_vit-bigg-14.npz --data THIS_FILE \
#       --openshape data/openshape/meta_data/lvis_cat_name_pt_feat.npy
_base_ = './mrd_ppat_modelnet40_zeroshot.py'

test_dataloader = dict(
    dataset=dict(type='OpenShapeTriplets', data_root='data/openshape', split='lvis')
)
test_evaluator = dict(class_embeddings='data/class_embeddings/lvis_vit-bigg-14.npz', split='lvis')
