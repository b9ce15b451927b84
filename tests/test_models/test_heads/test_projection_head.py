import numpy as np
import pytest
import torch
from torch import nn

from mm3dpretrain.models.heads import ProjectionHead, ProjectionMLP


def test_head_of_crosspoint():
    head = ProjectionHead(12, 8, 4, bias=False)
    twin = nn.Sequential(
        nn.Linear(12, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4, bias=False)
    )
    assert len(list(head.parameters())) == len(list(twin.parameters())) == 4
    for own, other in zip(head.parameters(), twin.parameters()):
        other.data.copy_(own.data)
    x = torch.randn(6, 12)
    torch.testing.assert_close(head(x), twin(x))


def test_unit_length():
    head = ProjectionHead(12, 8, 4, norm=False, activation='gelu', normalize=True)
    x = torch.randn(6, 12)
    torch.testing.assert_close(head(x).norm(dim=-1), torch.ones(6))
    head.normalize = False
    assert (head(x).norm(dim=-1) - 1).abs().max() > 1e-2


def test_unknown_activation():
    with pytest.raises(ValueError, match=r"\['relu', 'gelu'\], got 'tanh'"):
        ProjectionHead(12, 8, 4, activation='tanh')


@pytest.mark.parametrize('layers, name', [(3, 'out_eval'), (2, 'out_eval_2layers')])
def test_projection_mlp_parity(golden, layers, name):
    """SimIPU's head; with two layers the public code leaves out the middle one."""
    ref = golden('simipu/projection_mlp.npz')
    head, x = _public_mlp(ref, layers), torch.from_numpy(ref['x'])
    np.testing.assert_allclose(head.eval()(x).detach(), ref[name], atol=1e-5)
    if layers == 3:
        np.testing.assert_allclose(head.train()(x).detach(), ref['out_train'], atol=1e-5)
        for key, value in ref.items():
            if key.startswith('running_after_train/') and 'running' in key.split('.')[-1]:
                _, layer, _, stat = key.replace('/', '.').split('.')
                norm = head.layers[3 * (int(layer[-1]) - 1) + 1]
                np.testing.assert_allclose(getattr(norm, stat), value, atol=1e-6)


def _public_mlp(ref, layers):
    head = ProjectionMLP(12, 20, 16, num_layers=layers)
    kept = (1, 3) if layers == 2 else (1, 2, 3)
    state = {}
    for place, layer in enumerate(kept):
        for part in (0, 1):
            prefix = f'weight/layer{layer}.{part}.'
            for key, value in ref.items():
                if key.startswith(prefix):
                    leaf = key[len(prefix) :]
                    state[f'layers.{3 * place + part}.{leaf}'] = torch.from_numpy(value)
    head.load_state_dict(state)
    return head


def test_projection_mlp_has_the_shapes_of_the_public_heads(golden_json):
    for widths, name in (
        ((1024, 1024, 128), 'mlp_intro_points'),
        ((2048, 2048, 128), 'mlp_cross_img'),
    ):
        public = golden_json('simipu/keys_projection_MLP.json')[name]
        ours = ProjectionMLP(*widths).state_dict()
        assert [list(v.shape) for v in ours.values()] == list(public.values())


@pytest.mark.parametrize('rows', [0, 1])
def test_projection_mlp_of_hardly_any_row(rows):
    """No variance to normalise by: running statistics, and every parameter keeps its gradient."""
    head = ProjectionMLP(4, 6, 5).train()
    before = {k: v.clone() for k, v in head.named_buffers()}
    out = head(torch.randn(rows, 4))
    assert out.shape == (rows, 5)
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert all(torch.equal(v, before[k]) for k, v in head.named_buffers())


def test_projection_mlp_needs_a_layer():
    with pytest.raises(ValueError, match='num_layers'):
        ProjectionMLP(4, 4, 4, num_layers=0)
