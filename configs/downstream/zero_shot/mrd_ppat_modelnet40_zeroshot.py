# Zero-shot classification of ModelNet40's test split in OpenShape's files: 10,000 grey points, +z
# up after its swap of y and z, 40 classes. The class embeddings of the teacher of OpenShape's data:
#   tools/dataset_converters/make_class_embeddings.py \
#       --out data/class_embeddings/modelnet40_vit-bigg-14.npz --data THIS_FILE \
#       --openshape data/openshape/meta_data/modelnet40/cat_name_pt_feat.npy
# or with your own text tower: --text configs/_base_/text_spaces/clip_vit-bigg-14.py
_base_ = ['../../_base_/models/mrd_ppat.py', '../../_base_/default_runtime.py']

test_pipeline = [
    dict(type='LoadPoints', attributes=['rgb']),
    # where a cloud has fewer points, which ones are repeated depends on the seed of the run
    dict(type='SamplePoints', num_points=10000, allow_repeat=True),
    dict(type='NormalizePoints'),
    dict(type='FillColors'),
    dict(type='PackTriplets'),
]
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='OpenShapeModelNet40',
        data_root='data/openshape/meta_data',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(
    type='ZeroShotMetric',
    class_embeddings='data/class_embeddings/modelnet40_vit-bigg-14.npz',
    split='test',
)
test_cfg = dict()
