import pytest
import torch

from mm3dpretrain.models.utils import block_mask, random_mask, select_patches


@pytest.mark.parametrize('name', ['mask_transformer_small', 'mask_transformer_full'])
def test_block_mask_equals_point_bert(golden, name):
    expected = golden(f'point_bert/{name}.npz')
    center = torch.from_numpy(expected['group/center'])
    start = torch.from_numpy(expected['mask_start'])
    for index, ratio in enumerate(expected['mask_ratio'].tolist()):
        one = slice(index, index + 1)
        mask = block_mask(center[one], ratio, start=start[one])
        assert (mask.numpy() == expected['mask'][one]).all()


@pytest.mark.parametrize('name', ['pretrain_small', 'pretrain_full'])
def test_block_mask_equals_point_mae(golden, golden_json, name):
    expected = golden(f'point_mae/{name}.npz')
    config = golden_json(f'point_mae/{name}_config.json')['config']
    mask = block_mask(
        torch.from_numpy(expected['group/center']),
        config['transformer_config']['mask_ratio'],
        start=torch.from_numpy(expected['block_mask_start']),
    )
    assert (mask.numpy() == expected['block_mask']).all()


def test_block_is_connected_around_its_start():
    center = torch.randn(5, 64, 3)
    start = torch.randint(64, (5,))
    mask = block_mask(center, 0.4, start=start)
    for cloud, row, first in zip(center, mask, start):
        distance = (cloud - cloud[first]).norm(dim=-1)
        assert row.sum() == 25 and row[first]
        assert distance[row].max() <= distance[~row].min()


def test_start_is_masked_among_coinciding_centres():
    mask = block_mask(torch.zeros(1, 8, 3), 0.25, start=torch.tensor([6]))
    assert mask.sum() == 2 and mask[0, 6]


def test_counts_follow_the_range():
    low, high = int(0.25 * 64), int(0.45 * 64)
    for mask in (block_mask(torch.randn(200, 64, 3)), random_mask(200, 64, (0.25, 0.45))):
        counts = mask.sum(1)
        assert counts.min() >= low and counts.max() <= high
        assert counts.unique().numel() > 8
    assert (random_mask(50, 64, 0.6).sum(1) == 38).all()
    assert not random_mask(2, 64, 0.0).any() and random_mask(2, 64, 1.0).all()


def test_generator_decides():
    def masks(seed):
        generator = torch.Generator().manual_seed(seed)
        torch.rand(3)  # the global generator must not matter
        return torch.stack(
            [block_mask(center, generator=generator), random_mask(4, 32, 0.5, generator)]
        )

    center = torch.randn(4, 32, 3)
    assert (masks(1) == masks(1)).all()
    assert (masks(1) != masks(2)).any(dim=-1).any(dim=-1).all()


def test_every_patch_can_be_masked():
    assert random_mask(300, 16, 0.25).any(0).all()
    assert block_mask(torch.randn(1, 16, 3).expand(300, -1, -1), 0.25).any(0).all()


def test_selection_keeps_the_order():
    tokens, keep = torch.arange(12).view(2, 6), torch.tensor([[1, 0, 1, 0, 0, 1]] * 2).bool()
    assert select_patches(tokens, keep).tolist() == [[0, 2, 5], [6, 8, 11]]


def test_errors_name_the_values():
    center = torch.randn(2, 8, 3)
    for ratio in (1.2, -0.1, (0.5, 0.3), float('nan')):
        with pytest.raises(ValueError, match='mask ratio must be in'):
            block_mask(center, ratio)
    with pytest.raises(ValueError, match=r'within \[0, 8\), got \[0, 8\]'):
        block_mask(center, 0.5, start=torch.tensor([0, 8]))
    with pytest.raises(ValueError, match=r'center must be \(B, G, 3\), got \(8, 3\)'):
        block_mask(center[0], 0.5)
    with pytest.raises(ValueError, match=r'bool \(2, 6\), got torch.int64'):
        select_patches(torch.zeros(2, 6), torch.ones(2, 6, dtype=torch.long))
