# Semantic segmentation on SyntheticRooms: mmdet3d's ScanNet data and pipelines, other files.
# tools/dataset_converters/create_synthetic_rooms.py --out data/synthetic_rooms
_base_ = ['mmdet3d::_base_/datasets/scannet-seg.py']

data_root = 'data/synthetic_rooms/'
# mmdet3d 1.4 leaves PointSegClassMapping out of this pipeline: its evaluation would compare classes
# (0 to 19) with the NYU40 labels of the files (1 to 40)
test_pipeline = [
    dict(
        type='LoadPointsFromFile',
        coord_type='DEPTH',
        shift_height=False,
        use_color=True,
        load_dim=6,
        use_dim=[0, 1, 2, 3, 4, 5],
    ),
    dict(
        type='LoadAnnotations3D',
        with_bbox_3d=False,
        with_label_3d=False,
        with_mask_3d=False,
        with_seg_3d=True,
    ),
    dict(type='PointSegClassMapping'),
    dict(type='NormalizePointsColor', color_mean=None),
    dict(type='Pack3DDetInputs', keys=['points']),
]
val_set = dict(data_root=data_root, ann_file='rooms_infos_val.pkl', pipeline=test_pipeline)

train_dataloader = dict(
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file='rooms_infos_train.pkl',
        scene_idxs='seg_info/train_resampled_scene_idxs.npy',
    ),
)
val_dataloader = dict(dataset=val_set)
test_dataloader = dict(dataset=val_set)
