"""Ball query: golden vectors, naive twin, both padding conventions, bad input."""

from __future__ import annotations

import pytest
import torch

from mm3dpretrain import ops
from mm3dpretrain.ops import naive

from .test_furthest_point_sample import KINDS, make_clouds


@pytest.mark.parametrize('case', ['case0', 'case1', 'case2'])
def test_equals_pytorch3d(golden, case):
    arrays = golden('ops/ball_query.npz')
    field = {k.split('/')[1]: torch.from_numpy(v) for k, v in arrays.items() if case in k}
    query, points = field['p1'], field['p2']
    idx = ops.ball_query(
        query,
        points,
        float(field['radius']),
        int(field['K']),
        field['lengths1'],
        field['lengths2'],
    )
    assert idx.dtype == torch.int64
    assert torch.equal(idx, field['idx'].long())
    dist2 = (ops.group_points(points, idx) - query[:, :, None]).square().sum(-1)
    torch.testing.assert_close(dist2 * (idx >= 0), field['dists'], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [1, 64, 300])
@pytest.mark.parametrize('inclusive', [False, True])
@pytest.mark.parametrize('first', [False, True])
def test_equals_naive_twin(kind, size, inclusive, first):
    for channels, dtype, radius in ((3, torch.float32, 0.5), (2, torch.float64, 0.25)):
        points = make_clouds(kind, 2, size, channels, dtype)
        query = torch.cat([points[:, ::9], make_clouds(kind, 2, 6, channels, dtype)], 1)
        lengths = torch.tensor([size, (size + 1) // 2])
        query_lengths = torch.tensor([query.shape[1], 4])
        for num in (1, 7, size + 3):
            arguments = (query, points, radius, num, query_lengths, lengths, inclusive, first)
            assert torch.equal(ops.ball_query(*arguments), naive.ball_query(*arguments))


def test_conventions_by_hand():
    points = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [1, 0, 0], [0.5, 0, 0]]])
    query = torch.tensor([[[0.0, 0, 0], [9.0, 0, 0]]])
    assert ops.ball_query(query, points, 1.0, 3).tolist() == [[[0, 3, -1], [-1, -1, -1]]]
    inclusive = ops.ball_query(query, points, 1.0, 4, inclusive=True)
    assert inclusive.tolist() == [[[0, 2, 3, -1], [-1, -1, -1, -1]]]
    first = ops.ball_query(query[:, :1] + 1, points, 2.0, 4, pad_with_first=True)
    assert first.tolist() == [[[0, 2, 3, 0]]]
    assert ops.ball_query(query, points, 1.0, 2, pad_with_first=True)[0, 1].tolist() == [0, 0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(radius=0.0), 'radius must be positive and finite, got 0.0'),
        (dict(radius=float('nan')), 'radius must be positive and finite, got nan'),
        (dict(num_samples=0), 'num_samples must be at least 1'),
        (dict(query=torch.randn(3, 4, 3)), 'differ in batch size: 3 and 2'),
        (dict(query=torch.randn(4, 3)), r'query must have shape \(B, N, D\)'),
        (dict(points=torch.full((2, 8, 3), float('nan'))), 'points has 16 points that are NaN'),
    ],
)
def test_bad_input(change, message):
    arguments = dict(
        query=torch.randn(2, 4, 3), points=torch.randn(2, 8, 3), radius=0.2, num_samples=4
    )
    with pytest.raises(ValueError, match=message):
        ops.ball_query(**(arguments | change))
