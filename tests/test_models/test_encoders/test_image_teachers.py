from __future__ import annotations

import json
import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from mvnet_scenes import ToyTeacher
from torch import nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

RESNET = dict(
    type='mmdet.ResNet', depth=18, base_channels=4, num_stages=2, strides=(1, 2),
    dilations=(1, 1), out_indices=(0, 1), norm_cfg=dict(type='BN'),
)  # fmt: skip


class Guest(nn.Module):
    """A model with a teacher and a layer of its own."""

    def __init__(self, teacher) -> None:
        super().__init__()
        self.teacher, self.own = teacher, nn.Linear(2, 2)


def test_stands_outside_of_its_model():
    teacher = ToyTeacher()
    model = Guest(teacher)
    model.train()
    assert not any(m.training for m in teacher.network.modules())
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert set(model.state_dict()) == {'own.weight', 'own.bias'}
    assert len(list(model.parameters())) == 2
    model.load_state_dict(model.state_dict(), strict=True)
    before = [p.clone() for p in teacher.network.parameters()]
    teacher.init_weights()
    assert all(map(torch.equal, before, teacher.network.parameters()))
    model.double()
    assert next(teacher.network.parameters()).dtype == torch.float64


def test_gives_constants_in_a_training_step():
    img = torch.randn(2, 3, 16, 24, requires_grad=True)
    maps = ToyTeacher()(img)
    assert [tuple(m.shape) for m in maps] == [(2, 5, 4, 6), (2, 6, 2, 3)]
    assert not any(m.requires_grad for m in maps)


def test_padding_keeps_the_pixels():
    """The map of a picture is the corner of the map of a larger one that has zeros around."""
    teacher = ToyTeacher()
    img = torch.randn(1, 3, 18, 27)
    assert teacher.padded_size(18, 27) == (24, 32)
    large = F.pad(img, (0, 32 - 27, 0, 24 - 18))
    for ours, theirs in zip(teacher(img), teacher(large)):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match='a teacher takes pictures'):
        teacher(img[0])


def test_identity_and_key():
    first, same, other = ToyTeacher(), ToyTeacher(), ToyTeacher(seed=1)
    assert first.identity == same.identity != other.identity
    plain = MODELS.build(dict(type='PretrainDataPreprocessor'))
    half = MODELS.build(dict(type='PretrainDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3))
    keys = {first.key(p, size) for p in (plain, half) for size in ((24, 32), (32, 24))}
    assert len(keys) == 4 and same.key(plain, (24, 32)) in keys


def test_other_normalization_is_refused():
    teacher = ToyTeacher()
    teacher.check_normalization(nn.Module())  # unknown: nothing to compare
    teacher.pixel_mean = teacher.pixel_std = (127.5,) * 3
    half = MODELS.build(dict(type='PretrainDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3))
    teacher.check_normalization(half)
    plain = MODELS.build(dict(type='PretrainDataPreprocessor'))
    with pytest.raises(ValueError, match='expect pictures of mean .127.5'):
        teacher.check_normalization(plain)


# --------------------------------------------------------------------------- backbones


def backbone_teacher(**changes):
    torch.manual_seed(0)
    return MODELS.build(
        dict(dict(type='BackboneTeacher', backbone=RESNET, levels=(0, 1)), **changes)
    )


def test_backbone_loads_what_another_run_wrote(tmp_path):
    pytest.importorskip('mmdet')
    source = MODELS.build(RESNET)
    state = {f'backbone.{k}': v + 0.5 for k, v in source.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    teacher = backbone_teacher(weights=str(tmp_path / 'a.pth'), prefix='backbone.')
    assert teacher.out_channels == (4, 8) and teacher.strides == (4, 8)
    maps = teacher(torch.randn(1, 3, 40, 50))
    assert [tuple(m.shape) for m in maps] == [(1, 4, 16, 16), (1, 8, 8, 8)]
    assert torch.equal(teacher.network.conv1.weight, state['backbone.conv1.weight'])


def test_backbone_refuses_what_does_not_fit(tmp_path):
    pytest.importorskip('mmdet')
    torch.save(dict(state_dict={'x': torch.ones(1)}), tmp_path / 'other.pth')
    for prefix, message in (('', 'matches no weight'), ('backbone.', 'matches no weight')):
        with pytest.raises(RuntimeError, match=message):
            backbone_teacher(weights=str(tmp_path / 'other.pth'), prefix=prefix).init_weights()
    state = MODELS.build(RESNET).state_dict()
    del state['conv1.weight']
    torch.save(dict(state_dict=state), tmp_path / 'part.pth')
    with pytest.raises(RuntimeError, match='only in part'):
        backbone_teacher(weights=str(tmp_path / 'part.pth')).ensure_loaded()
    with pytest.raises(FileNotFoundError):
        backbone_teacher(weights=str(tmp_path / 'missing.pth'))(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match='returns 2 map'):
        backbone_teacher(levels=(2,))


class Evil:
    def __reduce__(self):
        return print, ('code ran',)


def test_weights_are_read_without_running_code(tmp_path):
    pytest.importorskip('mmdet')
    (tmp_path / 'evil.pth').write_bytes(pickle.dumps(dict(state_dict=Evil())))
    with pytest.raises(RuntimeError, match='not loaded|cannot be read'):
        backbone_teacher(weights=str(tmp_path / 'evil.pth')).ensure_loaded()


def test_unknown_backbones():
    with pytest.raises(KeyError):
        MODELS.build(dict(type='BackboneTeacher', backbone=dict(type='NoSuchNetwork')))


@pytest.mark.skipif(find_spec('mmpretrain') is not None, reason='mmpretrain is installed')
def test_missing_package_is_named():
    backbone = dict(type='mmpretrain.VisionTransformer', arch='small')
    with pytest.raises(ImportError, match='pip install mmpretrain'):
        MODELS.build(dict(type='BackboneTeacher', backbone=backbone))


# --------------------------------------------------------------------------- MobileNetV2


def test_mobilenet_with_imagenet_weights(data_root):
    weights = data_root / 'nets2d' / 'mobilenetv2_imagenet_dequant_fp16.npz'
    if not weights.is_file():
        pytest.skip(f'no {weights}')
    teacher = MODELS.build(dict(type='MobileNetV2Teacher', weights=str(weights), levels=(3, 6, 18)))
    assert teacher.out_channels == (24, 32, 1280) and teacher.strides == (4, 8, 32)
    assert teacher.padded_size(240, 320) == (256, 320)
    img = torch.rand(1, 3, 64, 96) * 2 - 1
    maps = teacher(img)
    assert [tuple(m.shape[-2:]) for m in maps] == [(16, 24), (8, 12), (2, 3)]
    with np.load(weights) as arrays:
        kernel = torch.from_numpy(arrays['features.0.0.weight'].astype(np.float32))
        bias = torch.from_numpy(arrays['features.0.1.bias'].astype(np.float32))
    first = F.conv2d(F.pad(img, (0, 1, 0, 1)), kernel, stride=2) + bias.view(-1, 1, 1)
    # folded norm: variance 1 - 1e-5, mean 0, weight 1
    ours = teacher.network[0](img)
    torch.testing.assert_close(ours, first.clamp(0, 6), rtol=1e-4, atol=1e-4)


def test_mobilenet_refuses(tmp_path):
    with pytest.raises(ValueError, match='levels must be in'):
        MODELS.build(dict(type='MobileNetV2Teacher', levels=(30,)))
    teacher = MODELS.build(dict(type='MobileNetV2Teacher', weights=str(tmp_path / 'no.npz')))
    with pytest.raises(FileNotFoundError, match='MM3D_DATA'):
        teacher.init_weights()
    np.savez(tmp_path / 'other.npz', x=np.ones(3))
    teacher = MODELS.build(dict(type='MobileNetV2Teacher', weights=str(tmp_path / 'other.npz')))
    with pytest.raises(RuntimeError, match='MobileNetV2'):
        teacher.init_weights()


# --------------------------------------------------------------------------- timm and OpenCLIP


def test_timm_transformer_of_any_picture_size(tmp_path):
    timm = pytest.importorskip('timm')
    cfg = dict(
        type='TimmTeacher',
        model_name='vit_small_patch14_dinov2',
        weights=None,
        levels=(0, -1),
        model_args=dict(depth=2, embed_dim=24, num_heads=2, img_size=56),
    )
    teacher = MODELS.build(cfg)
    assert teacher.out_channels == (24, 24) and teacher.strides == (14, 14)
    # 240 x 320 is no multiple of 14
    assert teacher.padded_size(240, 320) == (252, 322)
    maps = teacher(torch.randn(1, 3, 30, 50))
    assert [tuple(m.shape) for m in maps] == [(1, 24, 3, 4)] * 2
    # its own file, in timm's naming; and one of another network
    args = dict(cfg['model_args'], dynamic_img_size=True)
    other = timm.create_model(cfg['model_name'], num_classes=0, **args)
    torch.save(other.state_dict(), tmp_path / 'vit.pth')
    loaded = MODELS.build(dict(cfg, weights=str(tmp_path / 'vit.pth')))
    loaded.init_weights()
    assert torch.equal(loaded.network.cls_token, other.cls_token)
    torch.save({'x': torch.ones(1)}, tmp_path / 'x.pth')
    with pytest.raises(RuntimeError, match='matches no weight'):
        MODELS.build(dict(cfg, weights=str(tmp_path / 'x.pth'))).init_weights()


def test_timm_convolutional_levels():
    pytest.importorskip('timm')
    teacher = MODELS.build(
        dict(type='TimmTeacher', model_name='resnet18', weights=None, levels=(2, 1))
    )
    assert teacher.out_channels == (128, 64) and teacher.strides == (8, 4)
    maps = teacher(torch.randn(1, 3, 32, 48))
    assert [tuple(m.shape) for m in maps] == [(1, 128, 4, 6), (1, 64, 8, 12)]


def test_near_misses_are_named():
    pytest.importorskip('timm')
    with pytest.raises(ValueError, match='vit_small_patch14_dinov2'):
        MODELS.build(dict(type='TimmTeacher', model_name='vit_small_patch14_dino2'))
    with pytest.raises(ValueError, match='has 5 of them'):
        MODELS.build(dict(type='TimmTeacher', model_name='resnet18', weights=None, levels=(7,)))
    pytest.importorskip('open_clip')
    with pytest.raises(ValueError, match='ViT-B-16'):
        clip_teacher(model_name='ViT-B16')
    with pytest.raises(ValueError, match='laion2b'):
        clip_teacher(weights='laion')


def clip_teacher(**changes):
    cfg = dict(type='OpenCLIPTeacher', model_name='ViT-B-32', weights=None, image_size=(64, 96))
    return MODELS.build({**cfg, **changes})


@pytest.fixture
def tiny_clip(tmp_path):
    """A model of OpenCLIP's list that is quick to make."""
    clip = pytest.importorskip('open_clip')
    tower = dict(image_size=64, layers=2, width=32, head_width=16, patch_size=32)
    text = dict(context_length=4, vocab_size=8, width=16, heads=1, layers=1)
    cfg = dict(embed_dim=8, vision_cfg=tower, text_cfg=text)
    (tmp_path / 'ViT-test-tiny.json').write_text(json.dumps(cfg))
    clip.add_model_config(tmp_path / 'ViT-test-tiny.json')
    return clip


def test_open_clip_tower(tiny_clip, tmp_path):
    teacher = clip_teacher(model_name='ViT-test-tiny', levels=(1, -1))
    assert teacher.out_channels == (32, 32) and teacher.strides == (32, 32)
    maps = teacher(torch.randn(1, 3, 60, 90))
    assert [tuple(m.shape) for m in maps] == [(1, 32, 2, 3)] * 2
    with pytest.raises(ValueError, match='made for image_size'):
        teacher(torch.randn(1, 3, 128, 96))
    # a local file, whose positions are interpolated to the pictures
    model = tiny_clip.create_model('ViT-test-tiny')
    torch.save(model.state_dict(), tmp_path / 'clip.pt')
    path = str(tmp_path / 'clip.pt')
    loaded = clip_teacher(model_name='ViT-test-tiny', weights=path)
    loaded.init_weights()
    assert torch.equal(loaded.network.conv1.weight, model.visual.conv1.weight)
    assert loaded.identity != teacher.identity
    missing = clip_teacher(model_name='ViT-test-tiny', weights=str(tmp_path / 'no.pt'))
    with pytest.raises(FileNotFoundError):
        missing.init_weights()
    torch.save({'x': torch.ones(1)}, tmp_path / 'x.pt')
    with pytest.raises(RuntimeError, match='could not load'):
        clip_teacher(model_name='ViT-test-tiny', weights=str(tmp_path / 'x.pt')).init_weights()
