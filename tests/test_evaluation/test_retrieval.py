"""Retrieval against a naive ranking, with several texts a shape, equal texts and ties."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from dist_utils import run_distributed
from torch.utils._python_dispatch import TorchDispatchMode

from mm3dpretrain.evaluation.retrieval import RetrievalMetric, first_ranks, merge_equal
from mm3dpretrain.structures import PretrainDataSample


def unit(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def naive_ranks(queries, gallery, pairs):
    """Sort the whole gallery for every query; wrong items first among equals."""
    own = {}
    for query, item in pairs:
        own.setdefault(int(query), set()).add(int(item))
    ranks = []
    for query in sorted(own):
        scores = gallery.astype(np.float64) @ queries[query].astype(np.float64)
        order = sorted(range(len(gallery)), key=lambda g: (-scores[g], g in own[query]))
        wrong = 0
        for item in order:
            if item in own[query]:
                break
            wrong += 1
        ranks.append(wrong + 1)
    return ranks


def test_ranks_equal_a_naive_sort_for_every_block_size():
    rng = np.random.default_rng(3)
    queries, gallery = unit(37, 16), unit(53, 16, seed=1)
    pairs = np.unique(np.stack([rng.integers(0, 30, 80), rng.integers(0, 53, 80)], 1), axis=0)
    rng.shuffle(pairs)
    expected = naive_ranks(queries, gallery, pairs)
    for block in (1, 53 * 4, 1 << 20):
        asked, ranks = first_ranks(*map(torch.from_numpy, (queries, gallery, pairs)), block)
        assert asked.tolist() == sorted(set(pairs[:, 0].tolist()))
        assert ranks.tolist() == expected
    assert len(set(expected)) > 5


def test_ties_count_against_the_model():
    # exact values, so that equal similarities are equal
    gallery = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]])
    pairs = torch.tensor([[0, 2], [1, 3], [2, 1], [2, 3]])
    queries = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    _, ranks = first_ranks(queries, gallery, pairs)
    # behind two equal ones; behind three better and one equal; best of two right ones
    assert ranks.tolist() == [3, 5, 1]
    assert ranks.tolist() == naive_ranks(queries.numpy(), gallery.numpy(), pairs.numpy())
    # a model that gives one answer for everything finds nothing first
    same = torch.nn.functional.normalize(torch.ones(9, 7), dim=1)
    _, ranks = first_ranks(same, same, torch.arange(9)[:, None].expand(9, 2))
    assert ranks.tolist() == [9] * 9


def test_equal_embeddings_are_one_item():
    rows = unit(3, 4)
    items, pairs = merge_equal(rows[[2, 0, 2, 1, 0]], np.array([5, 5, 6, 7, 5]))
    np.testing.assert_array_equal(items, rows[[2, 0, 1]])
    assert pairs.tolist() == [[5, 0], [5, 1], [6, 0], [7, 2]]


def shapes(count=24, dim=8):
    """Shapes, their views (2 each) and their texts (1 to 3 each, some shared)."""
    points, views = unit(count, dim), unit(count, 2, dim, seed=1)
    bank = unit(30, dim, seed=2)
    rng = np.random.default_rng(5)
    texts = [bank[rng.choice(30, rng.integers(1, 4), replace=False)] for _ in range(count)]
    return points, views, texts


def batch_of(points, views, texts, **flags):
    samples = []
    for index, point in enumerate(points):
        meta = dict(sample_id=str(index), gravity_axis='z', embedding_key='clip')
        meta['text_features'] = texts[index]
        sample = PretrainDataSample(metainfo=meta)
        sample.feat_embed = torch.from_numpy(point)
        samples.append(sample)
    inputs = dict(
        points=torch.zeros(len(points), 4, 6),
        image_embeds=torch.from_numpy(3.0 * views),  # any length
        **{name: torch.tensor(value) for name, value in flags.items()},
    )
    return dict(inputs=inputs, data_samples=samples), [s.to_dict() for s in samples]


def by_sorting(points, owned, reverse):
    """Ranks between shapes and what they own (lists of rows), one direction, in plain Python."""
    items, owners = [], []
    for shape, rows in enumerate(owned):
        for row in rows:
            known = [k for k, other in enumerate(items) if np.array_equal(other, row)]
            if not known:
                items.append(row)
                owners.append(set())
            owners[known[0] if known else -1].add(shape)
    pairs = [(s, k) for k, shapes_ in enumerate(owners) for s in shapes_]
    if reverse:
        return naive_ranks(np.stack(items), points, [(k, s) for s, k in pairs])
    return naive_ranks(points, np.stack(items), pairs)


def test_all_directions_equal_a_naive_ranking(tmp_path):
    points, views, texts = shapes()
    has_text = np.arange(24) % 5 != 0
    path = tmp_path / 'r.json'
    made = RetrievalMetric(out_file=str(path))
    made.dataset_meta = dict(split='val')
    texts = [text if has else text[:0] for text, has in zip(texts, has_text)]
    made.process(*batch_of(points, views, texts))
    found = made.evaluate(24)
    kept = [text for text, has in zip(texts, has_text) if has]
    expected = dict(
        p2i=by_sorting(points, views, False),
        i2p=by_sorting(points, views, True),
        p2t=by_sorting(points[has_text], kept, False),
        t2p=by_sorting(points[has_text], kept, True),
    )
    for direction, ranks in expected.items():
        ranks = np.array(ranks)
        for k in (1, 5, 10):
            assert found[f'retrieval/{direction}_r{k}'] == pytest.approx(100 * (ranks <= k).mean())
        assert found[f'retrieval/{direction}_medr'] == np.median(ranks)
    about = json.loads(path.read_text())['about']
    assert about['split'] == 'val' and about['gravity_axis'] == 'z' and about['num_points'] == 4
    assert about['embedding_key'] == 'clip'
    assert about['sizes']['i2p'] == dict(queries=48, gallery=24)
    assert about['sizes']['p2t']['queries'] == has_text.sum()


def test_single_embeddings_and_perfect_features():
    points = unit(12, 6)
    made = RetrievalMetric()
    # one image and one text each, as a training gives them
    batch, samples = batch_of(points, points, points)
    for sample in samples:
        del sample['text_features']
    batch['inputs'].update(text_embeds=torch.from_numpy(points), has_text=torch.ones(12))
    made.process(batch, samples)
    found = made.evaluate(12)
    assert {found[f'retrieval/{d}_r1'] for d in ('p2i', 'p2t', 'i2p', 't2p')} == {100.0}
    assert found['retrieval/t2p_medr'] == 1


def test_several_processes_agree_with_one():
    points, views, texts = shapes(9)

    def run(indices):
        made = RetrievalMetric()
        for i in indices:
            made.process(*batch_of(points[[i]], views[[i]], [texts[i]]))
        return made.evaluate(9)

    def work(rank, world_size):
        return run([i % 9 for i in range(rank, 10, world_size)])

    one = run(range(9))
    assert run_distributed(work) == [one, one]


class Largest(TorchDispatchMode):
    """Notes the most elements of any tensor that an operator returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_memory_does_not_grow_with_the_square():
    count, dim, block = 5000, 16, 1 << 18
    points = torch.nn.functional.normalize(torch.randn(count, dim), dim=1)
    pairs = torch.arange(count)[:, None].expand(count, 2)
    with Largest() as largest:
        _, ranks = first_ranks(points, points, pairs, block)
    assert (ranks == 1).all()
    assert count * dim <= largest.elements <= block  # of 25 million similarities


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu():
    queries, gallery = (torch.from_numpy(unit(70, 32, seed=seed)) for seed in (0, 1))
    pairs = torch.stack([torch.arange(70), torch.arange(70).flip(0)], 1)
    expected = first_ranks(queries, gallery, pairs, 70 * 9)
    found = first_ranks(queries.cuda(), gallery, pairs, 70 * 9)
    assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected))


def test_bad_input():
    with pytest.raises(ValueError, match='directions'):
        RetrievalMetric(directions=('p2x',))
    with pytest.raises(ValueError, match='directions'):
        RetrievalMetric(directions=())
    with pytest.raises(ValueError, match='ranks'):
        RetrievalMetric(topk=(0,))
    points, views, texts = shapes(4)
    batch, samples = batch_of(points, views, texts, has_image=np.zeros(4))
    made = RetrievalMetric(directions=('i2p',))
    made.process(batch, samples)
    with pytest.raises(ValueError, match="none of 4 shapes has 'image_features'"):
        made.evaluate(4)
    RetrievalMetric(directions=('t2p',)).process(batch, samples)
    del samples[0]['feat_embed']
    with pytest.raises(ValueError, match='has no feat_embed'):
        RetrievalMetric(directions=('t2p',)).process(batch, samples)
    one = torch.tensor([[0, 0]])
    with pytest.raises(ValueError, match='width 8'):
        first_ranks(torch.zeros(1, 8), torch.zeros(1, 7), one)
    with pytest.raises(ValueError, match='not finite'):
        first_ranks(torch.full((1, 8), torch.nan), torch.zeros(1, 8), one)
    with pytest.raises(ValueError, match='no query'):
        first_ranks(torch.zeros(1, 8), torch.zeros(1, 8), one[:0])
