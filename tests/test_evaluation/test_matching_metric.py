from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mm3dpretrain.evaluation import CrossModalRetrieval, pixel_distance, retrieve_points


def frame(num=40, noise=0.0, views=1):
    points = F.normalize(torch.randn(num, 16), dim=1)
    pixels = F.normalize(points + noise * torch.randn(num, 16), dim=1)
    return dict(
        point_embed=points,
        image_embed=pixels,
        point_uv=100 * torch.rand(views, num, 2),
        point_seen=torch.ones(views, num, dtype=torch.bool),
    )


def judge(*frames, k=40):
    metric = CrossModalRetrieval(num_candidates=k)
    metric.process(None, frames)
    return metric.compute_metrics(metric.results)


def test_equals_loops():
    data = frame(30, noise=0.3)
    data['point_seen'][0, ::3] = False
    found = judge(data, k=30)
    hits1, hits5, apart = [], [], []
    for i in range(30):
        if not data['point_seen'][0, i]:
            continue
        scores = [float(data['image_embed'][i] @ data['point_embed'][j]) for j in range(30)]
        order = sorted(range(30), key=lambda j: -scores[j])
        hits1.append(order[0] == i)
        hits5.append(i in order[:5])
        uv = data['point_uv'][0]
        apart.append(float((uv[i] - uv[order[0]]).norm()))
    assert 0 < sum(hits1) < len(hits1)
    assert found['top1'] == pytest.approx(100 * sum(hits1) / len(hits1))
    assert found['top5'] == pytest.approx(100 * sum(hits5) / len(hits5))
    assert found['pixel_dist'] == pytest.approx(torch.tensor(apart).median().item())
    assert found['queries'] == 20 and found['chance_top1'] == pytest.approx(100 / 30)


def test_perfect_collapsed_and_random():
    perfect = judge(frame())
    assert perfect['top1'] == 100 and perfect['pixel_dist'] == 0
    assert perfect['chance_pixel_dist'] > 20
    same = frame()
    same['point_embed'] = same['image_embed'] = torch.ones(40, 16) / 4
    assert judge(same)['top1'] == 0, 'equal features have found nothing'
    random = [dict(frame(), point_embed=F.normalize(torch.randn(40, 16), dim=1)) for _ in range(80)]
    found = judge(*random)
    assert found['top1'] == pytest.approx(found['chance_top1'], abs=1.2)
    assert found['top5'] == pytest.approx(found['chance_top5'], abs=2.5)


def test_exactly_k_candidates_seen_ones_first():
    data = frame(40)
    data['point_seen'][0, 25:] = False
    seen = data['point_seen'][0]
    query, rank, _ = retrieve_points(data['image_embed'], data['point_embed'], seen, 10)
    assert len(query) == 10 and bool(seen[query].all())
    query, _, _ = retrieve_points(data['image_embed'], data['point_embed'], seen, 30)
    assert sorted(query.tolist()) == list(range(25))
    again, _, _ = retrieve_points(data['image_embed'], data['point_embed'], seen, 30)
    assert torch.equal(query, again)


def test_ranks_count_ties_against():
    points = torch.eye(3)
    pixels = torch.tensor([[1.0, 1, 0], [0, 1, 0], [1, 0, 0]])
    query, rank, _ = retrieve_points(pixels, points, torch.ones(3, dtype=torch.bool), 3)
    assert dict(zip(query.tolist(), rank.tolist())) == {0: 1, 1: 0, 2: 2}


def test_distance_in_the_nearest_camera_that_sees():
    uv = torch.tensor([[[0.0, 0], [30, 40]], [[0, 0], [3, 4]]])
    seen = torch.tensor([[True, True], [True, False]])
    assert pixel_distance(uv, seen, torch.tensor([0]), torch.tensor([1])).tolist() == [5]
    assert pixel_distance(uv, seen, torch.tensor([1]), torch.tensor([0])).tolist() == [50]


def test_frames_without_points_are_counted():
    blind = frame()
    blind['point_seen'][:] = False
    found = judge(frame(), blind)
    assert found['frames_unseen'] == 1 and found['top1'] == 100
    with pytest.raises(ValueError, match='no camera sees'):
        judge(blind)


def test_mistakes():
    with pytest.raises(ValueError, match='frame has 40'):
        judge(frame(), k=41)
    with pytest.raises(ValueError, match='point_uv'):
        judge({k: v for k, v in frame().items() if k != 'point_uv'})
