# MVNet on rendered views of shapes: Point-BERT's transformer, whose features are carried to all
# points, learns from DINOv2 and from pairs of views. The paper's encoder of shapes and its views of
# Objaverse are unknown; epochs and rates are this toolbox's choice. Without colours, so that the
# weights fit the transformer of the shape benchmarks.
_base_ = [
    '../_base_/models/mvnet_dinov2.py',
    '../_base_/datasets/shapes_frames.py',
    '../_base_/schedules/adamw_cosine_300e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    point_encoder=dict(
        type='DensePointTransformer',
        in_channels=3,
        out_indices=(3, 7, 11),
        propagation_channels=(384, 384),
    ),
    encoder_levels=(0, 1, 2),
    # units of the unit sphere
    projector=dict(tolerance=0.02),
)
train_dataloader = dict(batch_size=16)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=3, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=3,
        end=100,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=100)
test_evaluator = dict(type='ViewConsistencyMetric')
test_cfg = dict()
