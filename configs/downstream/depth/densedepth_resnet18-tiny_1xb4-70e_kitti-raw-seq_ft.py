# Small, real: 24 frames of one KITTI drive, their LiDAR as the label; tested on 12 frames of other
# drives. As the synthetic one in everything else, with as many steps.
_base_ = './densedepth_resnet18-tiny_1xb4-100e_synthetic-streets_ft.py'
_data = '{{$MM3D_DATA:../shared/data}}'

train_dataloader = dict(dataset=dict(data_root=f'{_data}/kitti_raw_seq', indices=24))
test_dataloader = dict(
    batch_size=4, dataset=dict(data_root=f'{_data}/kitti_mini', split='trainval')
)
param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=2e-3,
        end=70,
        div_factor=25,
        final_div_factor=100,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=70)
default_hooks = dict(checkpoint=dict(interval=35))
