import sys

import pytest
import torch
from torch import nn

from mm3dpretrain.models.encoders import ImageEncoder, TimmBackbone
from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class _Strided(nn.Conv2d):
    """A backbone of one layer that returns several maps, as mmdet's do."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__(3, channels, 4, 4)

    def forward(self, x):
        return (x, super().forward(x))


def test_last_map_and_its_mean():
    encoder = ImageEncoder(dict(type='_Strided'))
    assert encoder.out_channels == 4
    out = encoder(torch.rand(2, 3, 16, 16))
    assert out['map'].shape == (2, 4, 4, 4)
    torch.testing.assert_close(out['global'], out['map'].mean((2, 3)))


def test_depth_is_repeated_to_three_channels():
    encoder = ImageEncoder(dict(type='_Strided'))
    depth = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(
        encoder(depth)['global'], encoder(torch.cat([depth] * 3, 1))['global']
    )


def test_errors_name_the_values():
    with pytest.raises(ValueError, match='returns 4 channels, out_channels says 8'):
        ImageEncoder(dict(type='_Strided'), out_channels=8)(torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match=r'got \(1, 2, 16, 16\)'):
        ImageEncoder(dict(type='_Strided'))(torch.rand(1, 2, 16, 16))
    with pytest.raises(ImportError, match='no_such_package'):
        ImageEncoder(dict(type='no_such_package.ResNet'), out_channels=8)
    with pytest.raises(ValueError, match='does not tell its output channels'):
        ImageEncoder(dict(type='PatchlessBackbone'))


@MODELS.register_module()
class PatchlessBackbone(nn.Module):
    """Says nothing about its output."""


def test_resnet_of_mmdet():
    pytest.importorskip('mmcv', reason='mmdet needs mmcv')
    pytest.importorskip('mmdet')
    encoder = ImageEncoder(dict(type='mmdet.ResNet', depth=18), out_channels=512)
    out = encoder(torch.rand(2, 3, 64, 64))
    assert out['map'].shape == (2, 512, 2, 2) and out['global'].shape == (2, 512)


@pytest.mark.parametrize(
    ('name', 'size', 'side'), [('resnet18', None, 2), ('vit_tiny_patch16_224', 64, 4)]
)
def test_networks_of_timm(name, size, side):
    pytest.importorskip('timm')
    args = dict(img_size=size) if size else None
    encoder = ImageEncoder(dict(type='TimmBackbone', model_name=name, model_args=args))
    out = encoder(torch.rand(1, 3, 64, 64))
    assert out['map'].shape == (1, encoder.out_channels, side, side)


def test_timm_checkpoint(tmp_path):
    pytest.importorskip('timm')
    source = TimmBackbone('resnet18').eval()
    path = tmp_path / 'resnet18.pth'
    state = source.model.state_dict()
    torch.save({**state, 'fc.weight': torch.zeros(1000, 512)}, path)
    target = TimmBackbone('resnet18', checkpoint=str(path)).eval()
    img = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(source(img), target(img), rtol=0, atol=0)

    torch.save({'conv1.weight': state['conv1.weight']}, path)
    with pytest.raises(RuntimeError, match='lacks .* weights of this network'):
        TimmBackbone('resnet18', checkpoint=str(path))
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        TimmBackbone('resnet18', checkpoint=str(tmp_path / 'nowhere.pth'))
    with pytest.raises(FileNotFoundError, match='nowhere.safetensors'):
        TimmBackbone('resnet18', checkpoint=str(tmp_path / 'nowhere.safetensors'))
    with pytest.raises(ValueError, match='not both'):
        TimmBackbone('resnet18', pretrained=True, checkpoint=str(path))
    with pytest.raises(ValueError, match="no model 'resnet19'"):
        TimmBackbone('resnet19')


def test_missing_timm_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ImportError, match='TimmBackbone needs .*timm'):
        TimmBackbone('resnet18')
