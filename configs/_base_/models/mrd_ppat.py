# MRD-style relation distillation into OpenShape's PointBERT (scaling 4), in the space of OpenCLIP's
# ViT-bigG-14.
# What the paper's abstract does not say is this toolbox's default.
model = dict(
    type='MRD',
    embed_dim=1280,
    data_preprocessor=dict(type='PretrainDataPreprocessor'),
    point_encoder=dict(type='PPAT', scaling=4, in_channels=6),
    alignment=dict(type='MultiModalAlignmentLoss', weights=dict(image=1.0, text=1.0)),
    intra_loss=dict(
        type='IntraRelationLoss',
        teachers=('image', 'text'),
        relation=dict(type='NormalizedSimilarity', temperature=0.07),
        divergence=dict(type='JeffreyDivergence'),
    ),
    cross_loss=dict(
        type='CrossRelationLoss',
        terms=('text', 'image'),
        relation=dict(type='NormalizedSimilarity', temperature=0.07),
        divergence=dict(type='JeffreyDivergence'),
    ),
    dynamic_weights=dict(type='UncertaintyWeights'),
    intra_weight=1.0,
    cross_weight=1.0,
)
