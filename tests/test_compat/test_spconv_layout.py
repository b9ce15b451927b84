"""Kernels of spconv 1 and 2 in mmdet3d's layers."""

import pytest
import torch

pytest.importorskip('spconv')
pytest.importorskip('mmdet3d')


@pytest.fixture
def layer():
    from mmdet3d.models.layers.spconv import IS_SPCONV2_AVAILABLE
    from mmengine.registry import MODELS

    assert IS_SPCONV2_AVAILABLE

    def build(channels=(4, 8), kernel=3):
        torch.manual_seed(0)
        return MODELS.build(
            dict(type='SubMConv3d', in_channels=channels[0], out_channels=channels[1],
                 kernel_size=kernel, bias=True)
        )  # fmt: skip

    return build


def target_of(source):
    target = type(source)(*((source.in_channels, source.out_channels, source.kernel_size[0])))
    for parameter in target.parameters():
        parameter.data.fill_(-1)
    return target


def test_kernels_without_version_arrive(layer):
    """What MMEngine's prefix loader hands over: a plain dict."""
    source = layer()
    target = target_of(source)
    target.load_state_dict(dict(source.state_dict()))
    assert torch.equal(target.weight, source.weight) and torch.equal(target.bias, source.bias)


def test_kernels_with_version_arrive(layer):
    source = layer()
    target = target_of(source)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.weight, source.weight)


@pytest.mark.parametrize('channels, kernel', [((4, 8), 3), ((3, 3), 3)])
def test_kernels_of_spconv1_are_turned(layer, channels, kernel):
    """A checkpoint of mmcv's spconv says version 1, also where both layouts have one shape."""
    source = layer(channels, kernel)
    old = source.state_dict()
    old['weight'] = source.weight.detach().permute(1, 2, 3, 4, 0).contiguous()
    old._metadata['']['version'] = 1
    target = target_of(source)
    target.load_state_dict(old)
    assert torch.equal(target.weight, source.weight)


def test_another_width_is_an_error(layer):
    source, target = layer((4, 8)), target_of(layer((4, 6)))
    with pytest.raises(RuntimeError, match='size mismatch for weight'):
        target.load_state_dict(dict(source.state_dict()))


def test_init_cfg_with_prefix(tmp_path):
    """The whole way of a user: a raw pre-training checkpoint into mmdet3d's backbone."""
    from mm3dpretrain.registry import MODELS

    unet = dict(
        type='mmdet3d.MinkUNetBackbone',
        in_channels=4,
        base_channels=8,
        num_stages=1,
        encoder_blocks=[1],
        decoder_blocks=[1],
        sparseconv_backend='spconv',
    )

    def build(**kwargs):  # the backbone writes into these lists
        return MODELS.build(dict(unet, encoder_channels=[8], decoder_channels=[8], **kwargs))

    torch.manual_seed(0)
    source = build()
    state = {f'point_encoder.backbone.{k}': v for k, v in source.state_dict().items()}
    path = tmp_path / 'pretrain.pth'
    torch.save(dict(state_dict=state, meta={}), path)
    prefix = 'point_encoder.backbone.'
    target = build(init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix=prefix))
    target.init_weights()
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value), key
