"""What a pre-training config makes is what a fine-tuning config takes: names, shapes, pictures."""

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
PAIRS = [
    # pre-training, fine-tuning
    ('simipu_r50-second_8xb4-100e_kitti', 'second_lidarbev_8xb6-40e_kitti_ft'),
    ('simipu_r50-pointpillars_8xb4-100e_kitti', 'pointpillars_lidarbev_8xb6-80e_kitti_ft'),
    ('simipu_r50-pointpillars_8xb2-24e_nuscenes', 'pointpillars_lidarbev_8xb4-24e_nuscenes_ft'),
    ('simipu_r50-centerpoint_8xb2-24e_nuscenes', 'centerpoint_lidarbev_8xb4-20e_nuscenes_ft'),
    ('simipu_r50-minkunet34_8xb4-100e_kitti', 'minkunet34_8xb2-36e_semantickitti-1pct_ft'),
    (
        'simipu_r50-pointnet2msg-improved_8xb4-100e_kitti',
        'mvxnet_resnet50-simipu_8xb2-40e_kitti_ft',
    ),
    (
        'simipu_r50-pointnet2msg-improved_8xb4-100e_kitti',
        'fcos3d_resnet50-simipu_8xb2-12e_nuscenes_ft',
    ),
    (
        'simipu_r18-pillars-tiny_1xb2-16e_synthetic-streets',
        'pointpillars-tiny_1xb4-80e_synthetic-streets_ft',
    ),
    (
        'simipu_r18-pointnet2msg-tiny_1xb2-16e_synthetic-streets',
        'mvxnet_resnet18-tiny_1xb4-60e_synthetic-streets_ft',
    ),
]


def wanted_parts(target: Config) -> dict[str, str]:
    """Part of the network -> prefix in the checkpoint, however the config says it."""
    declared = declared_parts(target)
    if declared is not None:
        return dict(declared.parts)
    return {
        name: part.init_cfg.prefix
        for name, part in target.model.items()
        if isinstance(part, dict) and (part.get('init_cfg') or {}).get('type') == 'Pretrained'
    }


@pytest.mark.parametrize(('source', 'target'), PAIRS, ids=[target for _, target in PAIRS])
def test_weights_and_pictures_fit(source, target):
    init_default_scope('mm3dpretrain')
    source = Config.fromfile(CONFIGS / 'simipu' / f'{source}.py')
    target = Config.fromfile(CONFIGS / 'downstream' / 'mmdet3d' / f'{target}.py')
    if 'minkunet' not in target.filename:  # which names no pre-training in particular
        assert Path(source.filename).stem in str(target.model), 'another checkpoint is named'
    parts = wanted_parts(target)
    assert parts
    for name, prefix in parts.items():
        encoder, _, inner = prefix.partition('.')
        weights = build_encoder(source.model[encoder]).state_dict()
        weights = strip_prefix(weights, inner)
        try:
            init_default_scope('mmdet3d')
            part = MODELS.build(without_checkpoints(target.model[name]))
        finally:
            init_default_scope('mm3dpretrain')
        report = compare_keys(part, weights)
        assert not report.mismatched and not report.unexpected, report
        assert weights or not part.state_dict()
        # new in the detector: where to bend a convolution, how to mix pictures in
        new = ('conv_offset', 'fusion_layer')
        assert all(any(word in key for word in new) for key in report.missing), report
        if encoder == 'img_encoder':
            ours, theirs = source.model.data_preprocessor, target.model.data_preprocessor
            assert list(ours.mean) == list(theirs.mean) and list(ours.std) == list(theirs.std)
            assert theirs.bgr_to_rgb  # pictures are RGB in every pre-training
