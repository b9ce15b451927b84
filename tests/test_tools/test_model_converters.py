import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import CONVERTERS, converter

from mm3dpretrain.models.encoders import PointTransformer
from mm3dpretrain.models.heads import MaskedTokenHead, PointDecoder, ProjectionHead
from mm3dpretrain.models.pretrainers import PointDVAE

POINT_MAE = dict(encoder_dim=384, reduce_dim=False)

# key list, converter, kind, and our modules at the released sizes
RELEASES = [
    (
        'point_bert/keys_Point_BERT_pretrain.json',
        'pointbert_to_mm3d',
        'pretrain',
        lambda: dict(
            point_encoder=PointTransformer(),
            token_head=MaskedTokenHead(),
            moco_head=ProjectionHead(384, 512, 512, norm=False, activation='gelu'),
            tokenizer=PointDVAE(),
        ),
    ),
    (
        'point_bert/keys_PointTransformer_modelnet1k.json',
        'pointbert_to_mm3d',
        'finetune',
        lambda: dict(point_encoder=PointTransformer()),
    ),
    (
        'point_bert/keys_PointTransformer_modelnet8k.json',
        'pointbert_to_mm3d',
        'finetune',
        lambda: dict(point_encoder=PointTransformer(num_groups=512)),
    ),
    (
        'point_mae/keys_Point_MAE_pretrain.json',
        'point_mae_to_mm3d',
        'pretrain',
        lambda: dict(
            point_encoder=PointTransformer(with_cls_token=False, **POINT_MAE),
            point_decoder=PointDecoder(with_mask_token=True),
        ),
    ),
    (
        'point_mae/keys_PointTransformer_finetune.json',
        'point_mae_to_mm3d',
        'finetune',
        lambda: dict(point_encoder=PointTransformer(**POINT_MAE)),
    ),
]


def released(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Weights without memory: only names and shapes matter here."""
    return {key: torch.empty(shape, device='meta') for key, shape in shapes.items()}


def shapes_of(modules: dict[str, torch.nn.Module]) -> dict[str, tuple]:
    state = torch.nn.ModuleDict(modules).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


@pytest.mark.parametrize(('keys', 'name', 'kind', 'modules'), RELEASES)
def test_every_released_key_is_accounted_for(golden_json, keys, name, kind, modules):
    weights = released(golden_json(keys))
    found, conversion = converter(name).convert(weights)
    assert found == kind
    assert set(conversion.mapped) | set(conversion.left_out) == set(weights)
    assert not set(conversion.mapped) & set(conversion.left_out)
    with torch.device('meta'):
        expected = shapes_of(modules())
    assert {key: tuple(w.shape) for key, w in conversion.state_dict.items()} == expected


def test_dvae_keys(golden_json):
    weights = released(golden_json('point_bert/keys_DiscreteVAE.json'))
    kind, conversion = converter('pointbert_to_mm3d').convert(weights)
    assert kind == 'dvae' and not conversion.left_out
    with torch.device('meta'):
        expected = {key: tuple(w.shape) for key, w in PointDVAE().state_dict().items()}
    assert {key: tuple(w.shape) for key, w in conversion.state_dict.items()} == expected


@pytest.mark.parametrize('name', ['pointbert_to_mm3d', 'point_mae_to_mm3d'])
def test_unknown_weights_are_an_error(name):
    with pytest.raises(RuntimeError, match="1 weights are unknown .*'surprise'"):
        converter(name).convert({'norm.weight': torch.ones(3), 'surprise': torch.ones(3)})


def test_renaming_never_loses_a_weight_silently():
    rename = converter('checkpoint_conversion').rename
    weights = {'a.weight': torch.ones(2, 3, 1), 'b.weight': torch.ones(2)}
    with pytest.raises(RuntimeError, match="would both become 'x'"):
        rename(weights, [(r'.+', 'x')])
    with pytest.raises(RuntimeError, match='none of the 2 weights is used'):
        rename(weights, [(r'.+', None, 'no use')])
    conversion = rename(weights, [(r'a\.(.+)', r'x.\1'), (r'b\..+', None, 'no use')])
    assert conversion.state_dict['x.weight'].shape == (2, 3)
    assert conversion.left_out == {'b.weight': 'no use'}


def small_release() -> dict[str, torch.Tensor]:
    """A fine-tuned Point-BERT of small sizes under its released names."""
    encoder = PointTransformer(
        num_groups=8, group_size=8, encoder_dim=32, embed_dim=24, depth=1, num_heads=3
    )
    back = (
        ('patch_embed.first.', 'encoder.first_conv.'),
        ('patch_embed.second.', 'encoder.second_conv.'),
        ('patch_embed.reduce.', 'reduce_dim.'),
        ('blocks.layers.', 'blocks.blocks.'),
    )
    state = {}
    for key, value in encoder.state_dict().items():
        for ours, theirs in back:
            key = key.replace(ours, theirs)
        if 'conv.' in key and value.dim() == 2:
            value = value[..., None]
        state['module.' + key] = torch.randn_like(value) if value.is_floating_point() else value
    state['module.cls_head_finetune.0.weight'] = torch.ones(2, 48)
    return state


def run(script: str, *args) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(CONVERTERS / script), *map(str, args)],
        capture_output=True,
        text=True,
    )


def test_script_writes_a_loadable_checkpoint(tmp_path):
    source, target = tmp_path / 'modelnet.pth', tmp_path / 'out' / 'encoder.pth'
    state = small_release()
    # released files also hold NumPy metrics
    metrics = dict(acc=np.float64(93.2))
    torch.save(dict(base_model=state, epoch=3, metrics=metrics), source)
    result = run('pointbert_to_mm3d.py', source, target)
    assert result.returncode == 0, result.stderr
    assert 'finetune checkpoint' in result.stdout
    assert '1 weights left out (classification head)' in result.stdout
    assert [path.name for path in target.parent.iterdir()] == ['encoder.pth']

    written = torch.load(target, weights_only=True)
    assert written['meta']['method'] == 'Point-BERT' and written['meta']['in_channels'] == 3
    encoder = PointTransformer(
        num_groups=8,
        group_size=8,
        encoder_dim=32,
        embed_dim=24,
        depth=1,
        num_heads=3,
        init_cfg=dict(type='Pretrained', checkpoint=str(target), prefix='point_encoder.'),
    )
    encoder.init_weights()
    for ours, theirs in (
        ('patch_embed.first.0.weight', 'encoder.first_conv.0.weight'),
        ('blocks.layers.0.attn.qkv.weight', 'blocks.blocks.0.attn.qkv.weight'),
        ('cls_pos', 'cls_pos'),
    ):
        value = encoder.get_parameter(ours)
        torch.testing.assert_close(value.data, state['module.' + theirs].view_as(value))


def test_scripts_refuse_bad_files(tmp_path):
    read = converter('checkpoint_conversion').read_state_dict
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        read(tmp_path / 'nowhere.pth')
    path = tmp_path / 'file.pth'
    torch.save(dict(epoch=3), path)
    with pytest.raises(RuntimeError, match=r"no weights under 'base_model'; it has \['epoch'\]"):
        read(path)
    path.write_bytes(b'not a checkpoint')
    with pytest.raises(RuntimeError, match='file.pth'):
        read(path)
    torch.save(dict(base_model=dict(weight=torch.ones(2)), config=Path('x')), path)
    with pytest.raises(RuntimeError, match='was not loaded: it holds'):
        read(path)
    result = run('point_mae_to_mm3d.py', tmp_path / 'nowhere.pth', tmp_path / 'out.pth')
    assert result.returncode != 0 and 'nowhere.pth' in result.stderr
    assert not (tmp_path / 'out.pth').exists()


def test_spconv1_kernels_are_turned(tmp_path):
    """Every entry of a kernel arrives where it belongs, and nothing else moves."""
    old = {
        'middle_encoder.conv.weight': torch.randn(3, 3, 3, 4, 8),
        'middle_encoder.norm.weight': torch.randn(8),
        'neck.conv.weight': torch.randn(6, 5, 3, 3, 3),
    }
    source, target = tmp_path / 'old.pth', tmp_path / 'new.pth'
    torch.save(dict(state_dict=old, meta={}), source)
    done = run('spconv1_to_spconv2.py', source, target, '--prefix', 'middle_encoder.')
    assert done.returncode == 0 and '1 of 3 weights turned' in done.stdout, done.stderr
    new = torch.load(target, weights_only=True)['state_dict']
    kernel, turned = old['middle_encoder.conv.weight'], new['middle_encoder.conv.weight']
    for out in range(8):
        for inp in range(4):
            assert torch.equal(turned[out, ..., inp], kernel[..., inp, out])
    assert torch.equal(new['neck.conv.weight'], old['neck.conv.weight'])
    done = run('spconv1_to_spconv2.py', source, target, '--prefix', 'head.')
    assert done.returncode == 1 and 'nothing to turn' in done.stderr
