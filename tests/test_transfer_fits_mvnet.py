"""What MVNet's configs pre-train is what the fine-tuning configs take: names, shapes, channels."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

pytest.importorskip('mmdet3d')

from mm3dpretrain.apis.checkpoint import compare_keys, strip_prefix, without_checkpoints
from mm3dpretrain.apis.export import build_encoder
from mm3dpretrain.evaluation.transfer import declared_parts
from mm3dpretrain.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
TINY = 'mvnet_sparseunet-tiny_1xb4-12e_synthetic-rooms'
FULL = 'mvnet_sparseunet34_8xb8-5e_scannet'
PAIRS = [
    (TINY, 'minkunet-tiny_1xb2-6e_synthetic-rooms-seg-10pct-encdec_ft'),
    (TINY, 'minkunet-tiny_1xb2-6e_synthetic-rooms-seg_lin'),
    (TINY, 'sparsebox_minkunet-tiny_1xb4-12e_synthetic-rooms_ft'),
    (FULL, 'minkunet34_4xb4-100e_scannet-seg-encdec_ft'),
    (FULL, 'minkunet34_4xb4-100e_s3dis-1pct_ft'),
    (FULL, 'sparsebox_minkunet34_8xb4-12e_scannet-encdec_ft'),
    (FULL, 'sparsebox_minkunet34_8xb4-12e_sunrgbd_dec'),
    ('mvnet_pointnet2_8xb8-5e_scannet', 'votenet_pointnet2_8xb8-36e_scannet-encdec_ft'),
    ('mvnet_pointnet2_8xb8-5e_scannet', 'votenet_pointnet2_8xb16-36e_sunrgbd_ft'),
]


def voxel_sizes(encoder: Config, target: Config) -> tuple:
    own = target.model.backbone.get('voxel_size')
    layer = target.model.data_preprocessor.get('voxel_layer')
    theirs = own or (layer.voxel_size[0] if layer else None)
    return encoder.get('voxel_size'), theirs


@pytest.mark.parametrize(('source', 'target'), PAIRS, ids=[target for _, target in PAIRS])
def test_parts_fit(source, target):
    init_default_scope('mm3dpretrain')
    source = Config.fromfile(CONFIGS / 'mvnet' / f'{source}.py')
    target = Config.fromfile(CONFIGS / 'downstream' / 'mmdet3d' / f'{target}.py')
    encoder = source.model.point_encoder
    start = declared_parts(target)
    epochs = source.train_cfg.max_epochs
    assert start.checkpoint == f'work_dirs/{Path(source.filename).stem}/epoch_{epochs}.pth'
    assert len(set(voxel_sizes(encoder, target))) == 1
    saved = {
        f'point_encoder.{key}': value for key, value in build_encoder(encoder).state_dict().items()
    }
    try:
        init_default_scope('mmdet3d')
        backbone = MODELS.build(without_checkpoints(target.model.backbone))
    finally:
        init_default_scope('mm3dpretrain')
    for name, prefix in start.parts.items():
        part = backbone.get_submodule(name.removeprefix('backbone.'))
        report = compare_keys(part, strip_prefix(saved, prefix))
        assert report.matched
        assert not report.missing and not report.unexpected and not report.mismatched, report


@pytest.mark.parametrize(
    'target',
    [
        'classification/pointtransformer-mvnet_1xb32-300e_scanobjectnn_ft',
        'part_seg/pointtransformer-mvnet_1xb16-300e_shapenetpart_lin',
    ],
)
def test_transformer_of_shapes_fits(target):
    """All of the transformer arrives; only the layers that carry features to points stay behind."""
    init_default_scope('mm3dpretrain')
    source = Config.fromfile(CONFIGS / 'mvnet/mvnet_pointtransformer_8xb16-100e_shapes.py')
    backbone = Config.fromfile(CONFIGS / f'downstream/{target}.py').model.backbone
    stem, epochs = Path(source.filename).stem, source.train_cfg.max_epochs
    assert backbone.init_cfg.checkpoint == f'work_dirs/{stem}/epoch_{epochs}.pth'
    saved = build_encoder(source.model.point_encoder).state_dict()
    report = compare_keys(build_encoder(backbone), saved)
    assert report.matched and not report.missing and not report.mismatched, report
    assert all(key.startswith('propagation.') for key in report.unexpected)
