"""A released SimIPU checkpoint gives, on our pictures, the features that it gave on its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from golden_weights import CONVERTERS, converter

pytest.importorskip('mmdet')

from mm3dpretrain.registry import MODELS

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
RESNET = dict(type='mmdet.ResNet', depth=50, base_channels=4, norm_eval=False)


def release(path) -> torch.nn.Module:
    """A network as the public code builds it, and its file beside weights of the pre-training."""
    torch.manual_seed(0)
    network = MODELS.build(dict(RESNET, norm_cfg=dict(type='BN', eps=1e-3, momentum=0.01)))
    network.eval()  # which returns nothing, in mmdet
    state = network.state_dict()
    for key, value in state.items():
        if key.endswith('running_var'):
            value.uniform_(0.01, 1.5)
        elif key.endswith('running_mean'):
            value.normal_(0, 0.1)
    state = {f'img_backbone.{key}': value for key, value in state.items()}
    state['pts_backbone.SA_modules.0.mlps.0.layer0.conv.weight'] = torch.rand(4, 1, 1, 1)
    state['pts_intro_mlp.layer1.0.weight'] = torch.rand(4, 4)
    torch.save(dict(state_dict=state, meta=dict(epoch=50)), path)
    return network


def run(*args) -> subprocess.CompletedProcess:
    command = [sys.executable, str(CONVERTERS / 'simipu_to_mm3d.py'), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


def test_features_are_those_of_the_release(tmp_path):
    source, target = tmp_path / 'SimIPU_kitti_50e.pth', tmp_path / 'simipu.pth'
    original = release(source)
    done = run(source, target)
    assert done.returncode == 0, done.stderr
    assert '1 weights left out' in done.stdout and '1 weights -> point_encoder' in done.stdout

    init_cfg = dict(type='Pretrained', checkpoint=str(target), prefix='img_encoder.')
    ours = MODELS.build(dict(RESNET, norm_cfg=dict(type='BN'), init_cfg=init_cfg))
    ours.init_weights()
    ours.eval()
    picture = torch.randint(0, 256, (1, 3, 64, 96)).float()  # RGB
    its_input = picture.flip(1) - MEAN.flip(0).view(3, 1, 1)  # BGR, deviation 1
    our_input = (picture - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)
    with torch.no_grad():
        for expected, found in zip(original(its_input), ours(our_input)):
            assert expected.abs().max() > 0.1
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * expected.abs().max())
        # the test would notice if the conversion did nothing
        untouched = {
            key.removeprefix('img_backbone.'): value
            for key, value in torch.load(source)['state_dict'].items()
        }
        ours.load_state_dict(untouched, strict=False)
        assert not torch.allclose(ours(our_input)[-1], original(its_input)[-1], rtol=1e-2)


@pytest.mark.parametrize('name', ['backbone', 'img_backbone'])
def test_names_of_the_networks_that_take_it(tmp_path, name):
    """FCOS3D and depth models say backbone, MVX-Net img_backbone: the prefix brings it to both."""
    source = tmp_path / 'release.pth'
    release(source)
    conversion = converter('simipu_to_mm3d').convert(torch.load(source)['state_dict'])
    path = tmp_path / 'converted.pth'
    torch.save(dict(state_dict=conversion.state_dict), path)
    init_cfg = dict(
        type='mm3dpretrain.PretrainedParts', checkpoint=str(path), parts={name: 'img_encoder.'}
    )
    from mmengine.model import BaseModule

    class Network(BaseModule):
        pass

    network = Network(init_cfg)
    setattr(network, name, MODELS.build(RESNET))
    network.init_weights()  # stops if a weight is missing or has another shape
    for key, value in getattr(network, name).state_dict().items():
        assert value.equal(conversion.state_dict[f'img_encoder.{key}']), key


def test_bad_files_are_refused(tmp_path):
    other = tmp_path / 'other.pth'
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.ones(4, 3, 7, 7)}), other)
    for path, text in ((other, "img_backbone.conv1.weight'"), (tmp_path / 'no.pth', 'no.pth')):
        done = run(path, tmp_path / 'out.pth')
        assert done.returncode == 1 and text in done.stderr and 'Traceback' not in done.stderr
        assert not (tmp_path / 'out.pth').exists()
