import pytest
import torch
from torch import nn

from mm3dpretrain.models.utils import (
    SelfAttention,
    TransformerBlocks,
    drop_path,
    init_transformer_weights,
)


@pytest.mark.parametrize('qkv_bias', [True, False])
def test_attention_equals_its_formula(qkv_bias):
    attention = SelfAttention(12, 3, qkv_bias)
    x = torch.randn(2, 5, 12)
    query, key, value = attention.qkv(x).chunk(3, dim=-1)
    heads = []
    for part in range(3):
        cut = slice(4 * part, 4 * part + 4)
        weight = (query[..., cut] @ key[..., cut].transpose(1, 2) / 2.0).softmax(-1)
        heads.append(weight @ value[..., cut])
    torch.testing.assert_close(attention(x), attention.proj(torch.cat(heads, -1)))
    assert (attention.qkv.bias is not None) == qkv_bias


def test_positions_are_added_before_every_block():
    blocks = TransformerBlocks(12, 2, 3).eval()
    x, pos = torch.randn(2, 5, 12), torch.randn(2, 5, 12)
    first = blocks.layers[0](x + pos)
    second = blocks.layers[1](first + pos)
    out, collected = blocks(x, pos, (0,))
    torch.testing.assert_close(out, second)
    torch.testing.assert_close(collected[0], first)


def test_drop_path():
    x = torch.ones(4000, 3)
    dropped = drop_path(x, 0.25, training=True)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (dropped[:, 0] == dropped[:, 2]).all()
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)
    assert drop_path(x, 0.25, training=False) is x
    blocks = TransformerBlocks(12, 3, 3, drop_path_rate=0.2)
    assert [layer.drop_path_rate for layer in blocks.layers] == pytest.approx([0.0, 0.1, 0.2])
    with pytest.raises(ValueError, match='drop_path_rate must be in .* got 1.0'):
        TransformerBlocks(12, 3, 3, drop_path_rate=1.0)


def test_initialisation_leaves_batch_norm_alone():
    module = nn.Sequential(nn.Linear(200, 200), nn.LayerNorm(200), nn.BatchNorm1d(200))
    for parameter in module.parameters():
        parameter.data.fill_(3.0)
    init_transformer_weights(module)
    assert module[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not module[0].bias.any() and (module[1].weight == 1).all()
    assert (module[2].weight == 3).all()
