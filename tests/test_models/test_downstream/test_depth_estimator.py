"""DepthEstimator: shapes, who learns, flips, loading, a small run from file to metric."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from mm3dpretrain.evaluation.transfer import arm_config
from mm3dpretrain.models.downstream import DenseDepthDecoder
from mm3dpretrain.registry import DATASETS, MODELS
from mm3dpretrain.structures import PretrainDataSample
from mm3dpretrain.utils import prepare_runtime

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/downstream/depth'
TINY = 'densedepth_resnet18-tiny_1xb4-100e_synthetic-streets'


def tiny_config(kind: str = 'scratch'):
    cfg = prepare_runtime(CONFIGS / f'{TINY}_{kind}.py')
    cfg.model.backbone.init_cfg = None
    return cfg


def build(**changes):
    cfg = tiny_config().model
    cfg.update(changes)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def batch(size=(64, 96), count: int = 2):
    rng = torch.Generator().manual_seed(0)
    depth = 5 + 30 * torch.rand(count, *size, generator=rng)
    depth[torch.rand(count, *size, generator=rng) < 0.8] = 0
    samples = [PretrainDataSample(gt_depth=d, metainfo=dict(sample_id=str(i)))
               for i, d in enumerate(depth)]  # fmt: skip
    return dict(img=torch.randn(count, 3, *size, generator=rng)), samples


def test_depth_has_the_size_of_the_picture_and_the_range_of_the_decoder():
    model = build().eval()
    inputs, _ = batch((60, 100))  # no multiple of 32
    with torch.no_grad():
        depth = model(inputs)
    assert depth.shape == (2, 60, 100) and depth.dtype == torch.float32
    assert depth.min() > 0 and depth.max() <= 80


def test_the_decoder_reads_every_map():
    decoder = DenseDepthDecoder((4, 8, 16), (6, 10, 12))
    maps = [torch.randn(2, c, 32 // s, 48 // s) for c, s in ((4, 2), (8, 4), (16, 8))]
    for m in maps:
        m.requires_grad_()
    depth = decoder(maps)
    assert depth.shape == (2, 16, 24)
    depth.sum().backward()
    assert all(m.grad.abs().sum() > 0 for m in maps)
    assert all(p.grad is not None for p in decoder.parameters())
    with pytest.raises(ValueError, match=r'\(8, 4, 16\)'):
        decoder([maps[1], maps[0], maps[2]])
    with pytest.raises(ValueError, match='at least 2'):
        DenseDepthDecoder((4,), (4,))
    with pytest.raises(ValueError, match='min_depth'):
        DenseDepthDecoder((4, 8), (4, 8), min_depth=10, max_depth=5)


def test_reference_decoder_has_the_layers_of_the_toolbox():
    """Widths of the public ResNet-50 configuration, counted by hand."""
    model = MODELS.build(prepare_runtime(CONFIGS / 'densedepth_resnet50_2xb8-24e_nyu_ft.py').model)
    pairs = [
        (1024 + 2048, 1024), (512 + 1024, 512), (256 + 512, 256), (64 + 256, 128),
    ]  # fmt: skip
    expected = 2048 * 2048 + 2048 + 128 * 9 + 1
    for inside, outside in pairs:
        expected += 9 * inside * outside + outside + 9 * outside * outside + outside
    assert sum(p.numel() for p in model.decoder.parameters()) == expected
    assert model.decoder.max_depth == 10


def test_the_stem_is_the_map_at_stride_2():
    model = build(
        stem='maxpool',
        decoder=dict(
            type='DenseDepthDecoder', in_channels=(16, 16, 32, 64, 128), channels=(8,) * 5
        ),
    )
    inputs, samples = batch()
    maps = model.extract_feat(inputs)
    assert [tuple(m.shape[1:]) for m in maps[:2]] == [(16, 32, 48), (16, 16, 24)]
    expected = model.backbone.relu(model.backbone.norm1(model.backbone.conv1(inputs['img'])))
    torch.testing.assert_close(maps[0], expected)
    assert not model.backbone.maxpool._forward_pre_hooks
    model.loss(inputs, samples)['loss_depth'].backward()
    assert model.backbone.conv1.weight.grad is not None
    with pytest.raises(ValueError, match="no sub-module 'pool'"):
        build(stem='pool')


def test_frozen_encoder_stays_as_it_is():
    model = build(freeze_backbone=True).train()
    inputs, samples = batch()
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    model.loss(inputs, samples)['loss_depth'].backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.decoder.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.backbone.state_dict().items())


def test_flip_test_is_symmetric():
    inputs, _ = batch()
    mirrored = dict(img=inputs['img'].flip(-1))
    for flip_test in (False, True):
        model = build(flip_test=flip_test).eval()
        with torch.no_grad():
            depth = model.predict(inputs)[1].pred_depth
            other = model.predict(mirrored)[1].pred_depth.flip(-1)
        assert torch.allclose(depth, other, atol=1e-4) == flip_test


def test_without_any_target_nothing_learns():
    model = build().train()
    inputs, samples = batch()
    for sample in samples:
        sample.gt_depth = torch.zeros(64, 96)
    losses = model.loss(inputs, samples)
    losses['loss_depth'].backward()
    assert losses['loss_depth'].item() == 0 and losses['abs_rel'].item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_bad_input():
    model = build()
    inputs, samples = batch()
    with pytest.raises(ValueError, match='mode'):
        model(inputs, samples, mode='train')
    with pytest.raises(ValueError, match="'img'"):
        model(dict(points=torch.zeros(1, 4, 3)))
    with pytest.raises(ValueError, match='gt_depth'):
        model.loss(inputs, [PretrainDataSample(), PretrainDataSample()])
    samples[1].gt_depth = torch.ones(64, 90)
    with pytest.raises(ValueError, match=r"sample '1'.*\(64, 90\)"):
        model.loss(inputs, samples)


def test_the_encoder_of_a_pretraining_arrives(tmp_path):
    class Pretrainer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.img_encoder = MODELS.build(tiny_config().model.backbone)
            self.head = nn.Linear(4, 4)

    pretrained = Pretrainer()
    path = tmp_path / 'pretrain.pth'
    torch.save(dict(state_dict=pretrained.state_dict(), meta={}), path)
    cfg = arm_config(tiny_config('ft'), 'backbone', str(path), 'img_encoder.')
    model = MODELS.build(cfg.model)
    model.init_weights()
    own = model.backbone.state_dict()
    assert own.keys() == pretrained.img_encoder.state_dict().keys()
    for key, value in pretrained.img_encoder.state_dict().items():
        assert torch.equal(own[key], value), key


@pytest.mark.parametrize('name', sorted(p.stem for p in CONFIGS.glob('*_ft.py')))
def test_the_named_pretraining_exists_and_fits(name):
    cfg = prepare_runtime(CONFIGS / f'{name}.py')
    init = cfg.model.backbone.pop('init_cfg')
    if 'imagenet' in name:
        assert init.checkpoint == 'torchvision://resnet50'
        return
    source = CONFIGS.parents[1] / 'simipu' / f'{Path(init.checkpoint).parent.name}.py'
    assert source.is_file(), f'{name} takes {init.checkpoint}, which no config writes'
    theirs = prepare_runtime(source)
    number = int(Path(init.checkpoint).stem.removeprefix('epoch_'))
    assert 0 < number <= theirs.train_cfg.max_epochs
    for key in ('mean', 'std'):
        assert cfg.model.data_preprocessor[key] == theirs.model.data_preprocessor[key]
    assert not theirs.model.data_preprocessor.get('bgr')
    with torch.device('meta'):  # names and shapes are all that is asked for
        own, given = (
            {key: value.shape for key, value in MODELS.build(encoder).state_dict().items()}
            for encoder in (cfg.model.backbone, {**theirs.model.img_encoder, 'init_cfg': None})
        )
    assert own == given


def test_full_model_steps():
    cfg = prepare_runtime(CONFIGS / 'densedepth_resnet50_2xb8-24e_kitti_scratch.py')
    model = MODELS.build(cfg.model).train()
    inputs, samples = batch((32, 64))
    losses = model.loss(inputs, samples)
    losses['loss_depth'].backward()
    assert torch.isfinite(losses['loss_depth'])
    assert all(p.grad is not None for p in model.parameters())


def test_small_run_learns_two_real_frames(data_root, tmp_path):
    """Through the runner: files, training, checkpoint, test; the error of the start is halved."""
    cfg = tiny_config()
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.update(data_root=str(data_root / 'kitti_mini'), split='val', indices=2)
    cfg.train_dataloader.dataset.pipeline = [
        dict(step, size=(64, 208)) if step['type'] == 'ResizeDepth' else step
        for step in cfg.train_dataloader.dataset.pipeline
        if not step['type'].startswith('Random')
    ]
    cfg.test_dataloader.dataset.pipeline[2].size = (64, 208)
    cfg.train_cfg.max_epochs = 25
    cfg.param_scheduler[0].end = 25
    cfg.model.flip_test = False
    cfg.default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=25))
    cfg.update(work_dir=str(tmp_path), experiment_name='depth', log_level='ERROR')
    runner = Runner.from_cfg(cfg)
    start = runner.test()
    runner.train()
    end = runner.test()
    assert end['depth/num_images'] == 2
    assert end['depth/abs_rel'] < 0.5 * start['depth/abs_rel'] and end['depth/abs_rel'] < 0.3
    # the checkpoint holds plain data, and continues to give the same depth
    state = torch.load(tmp_path / 'epoch_25.pth', weights_only=True)['state_dict']
    model = MODELS.build(cfg.model)
    model.load_state_dict(state)
    item = DATASETS.build(cfg.test_dataloader.dataset)[0]
    data = model.data_preprocessor(dict(inputs=dict(img=[item['inputs']['img']])))
    with torch.no_grad():
        depth = model.eval()(data['inputs'])
    assert np.isfinite(depth.numpy()).all()
