# Small: SLidR on SyntheticStreets for a CPU, with the teacher of the small PPKT.
_base_ = ['../../ppkt/configs/ppkt_minkunet-tiny_1xb4-20e_synthetic-streets.py']
custom_imports = dict(imports=['projects.slidr.slidr'])

model = dict(
    _delete_=True,
    type='SLidR',
    data_preprocessor=_base_.model.data_preprocessor,
    point_encoder=_base_.model.point_encoder,
    image_encoder=_base_.model.image_encoder,
    image_channels=128,
    embed_dim=32,
    temperature=0.07,
    projector=_base_.model.projector,
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            *_base_.train_pipeline[:-1],
            dict(
                type='PackSuperpixelPairs',
                num_segments=150,
                compactness=6.0,
                sigma=3.0,
                cache_dir='data/cache/superpixels',
            ),
        ]
    )
)
