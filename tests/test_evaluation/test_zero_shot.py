"""Zero-shot accuracy against a naive loop; classes by name; several processes; the result file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from dist_utils import run_distributed
from toy_space import ToySpace

from mm3dpretrain.datasets import ClassEmbeddings, write_class_embeddings
from mm3dpretrain.evaluation.zero_shot import ZeroShotMetric, class_ranks
from mm3dpretrain.structures import PretrainDataSample

NAMES = ('chair', 'table', 'lamp', 'sofa', 'bed', 'door')


def unit(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def classes(names=NAMES, dim=8):
    return ClassEmbeddings(names, unit(len(names), dim), dict(key='teacher', prompts='plain'))


def sample(embed, label, **meta):
    data = PretrainDataSample(
        metainfo=dict(
            sample_id=f'shape {label}',
            gravity_axis='y',
            normalization='unit_sphere',
            point_channels=('x', 'y', 'z'),
            **meta,
        )
    )
    data.feat_embed, data.gt_label = torch.as_tensor(embed), torch.tensor([label])
    return data


def shapes(count=40, dim=8):
    labels = np.random.default_rng(1).integers(len(NAMES), size=count)
    return [sample(e, int(c)) for e, c in zip(unit(count, dim, seed=2), labels)]


def batch_of(samples):
    return dict(inputs=dict(points=torch.zeros(len(samples), 5, 3)), data_samples=samples)


def metric(**kwargs):
    made = ZeroShotMetric(**{**dict(class_embeddings=classes()), **kwargs})
    made.dataset_meta = dict(classes=NAMES, split='test')
    return made


def evaluate(made, samples, size=7):
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        made.process(batch_of(part), [s.to_dict() for s in part])
    return made.evaluate(len(samples))


def naive(samples, texts, topk):
    """Rank by rank and class by class."""
    hits, by_class = {k: [] for k in topk}, {}
    for s in samples:
        scores = [float(np.dot(s.feat_embed.numpy().astype(np.float64), t)) for t in texts]
        label = int(s.gt_label)
        better = sum(1 for c, x in enumerate(scores) if c != label and x >= scores[label] - 1e-6)
        for k in topk:
            hits[k].append(better < k)
        by_class.setdefault(label, []).append(better < 1)
    means = {f'zeroshot/top{k}': 100 * np.mean(hits[k]) for k in topk}
    means['zeroshot/class_mean'] = 100 * np.mean([np.mean(v) for v in by_class.values()])
    return means


def test_equals_a_naive_loop():
    samples = shapes()
    found = evaluate(metric(), samples)
    expected = naive(samples, classes().embeddings, (1, 3, 5))
    assert found == pytest.approx(expected)
    assert 0 < found['zeroshot/top1'] < found['zeroshot/top3'] < found['zeroshot/top5']


def test_order_of_the_embeddings_does_not_matter_names_do():
    samples = shapes()
    shuffled = classes().select(NAMES[::-1])
    assert evaluate(metric(class_embeddings=shuffled), samples) == evaluate(metric(), samples)
    wrong = ClassEmbeddings((*NAMES[:-1], 'gate'), unit(6, 8))
    with pytest.raises(ValueError, match=r"\['door'\].*\['gate'\]"):
        evaluate(metric(class_embeddings=wrong), samples)


def test_ties_count_against_the_model():
    same = torch.tensor([[1.0, 0.0]])
    ranks = class_ranks(same.expand(3, 2), same.expand(4, 2), torch.tensor([0, 2, 3]))
    assert ranks.tolist() == [3, 3, 3]


def test_held_out_classes():
    samples = shapes()
    held = ('sofa', 'lamp', 'bed')
    found = evaluate(metric(classes=held, topk=(1, 2)), samples)
    chosen = [s for s in samples if NAMES[int(s.gt_label)] in held]
    for s in chosen:
        s.gt_label = torch.tensor([held.index(NAMES[int(s.gt_label)])])
    assert found == pytest.approx(naive(chosen, classes().select(held).embeddings, (1, 2)))
    with pytest.raises(ValueError, match="'gate'"):
        evaluate(metric(classes=('gate', 'bed'), topk=(1,)), samples)


def test_result_file_says_what_was_measured(tmp_path):
    path = tmp_path / 'result.json'
    write_class_embeddings(tmp_path / 'c.npz', classes())
    samples = shapes()
    found = evaluate(metric(class_embeddings=tmp_path / 'c.npz', out_file=str(path)), samples)
    result = json.loads(path.read_text())
    assert result['metrics']['top1'] == found['zeroshot/top1']
    assert sum(entry['shapes'] for entry in result['per_class'].values()) == len(samples)
    about = result['about']
    expected = dict(
        split='test', gravity_axis='y', normalization='unit_sphere', num_points=5, num_classes=6,
        point_channels=['x', 'y', 'z'], texts=dict(key='teacher', prompts='plain'),
    )  # fmt: skip
    assert {key: about[key] for key in expected} == expected


def test_several_processes_agree_with_one():
    samples = shapes(21)
    one = evaluate(metric(classes=NAMES[:4], topk=(1, 3)), samples)

    def work(rank, world_size):
        made = metric(classes=NAMES[:4], topk=(1, 3))
        # as MMEngine's sampler deals them, the last one repeated to fill up
        part = [samples[i % len(samples)] for i in range(rank, 22, world_size)]
        for s in part:
            made.process(batch_of([s]), [s.to_dict()])
        return made.evaluate(len(samples))

    assert run_distributed(work) == [one, one]


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(topk=()), 'ranks from 1'),
        (dict(topk=(0, 1)), 'ranks from 1'),
        (dict(classes=()), 'classes is empty'),
        (dict(topk=(1, 7)), 'top-7 of 6 classes'),
        (dict(class_embeddings=classes(dim=9)), 'width 8, classes of width 9'),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        evaluate(metric(**options), shapes(3))


def test_bad_samples():
    bare = sample(unit(8), 0)
    del bare.feat_embed
    unlabelled = sample(unit(8), 0)
    del unlabelled.gt_label
    cases = [
        (bare, 'has no feat_embed'),
        (unlabelled, 'has no gt_label'),
        (sample(unit(8), 6), 'label 6'),
        (sample(unit(8), 0, embedding_key='other'), 'teacher teacher, those of the data of other'),
        (sample(np.full(8, np.nan, np.float32), 0), 'not finite'),
    ]
    for broken, match in cases:
        with pytest.raises(ValueError, match=match):
            evaluate(metric(), [broken])
    made = metric()
    made.dataset_meta = {}
    with pytest.raises(ValueError, match='names no classes'):
        evaluate(made, shapes(3))


def test_a_text_space_embeds_the_words_of_the_classes():
    space = ToySpace(dim=8)
    options = dict(class_embeddings=dict(text_space=space, prompts='plain'))
    made = metric(**options)
    made.dataset_meta = dict(classes=NAMES, class_texts=[f'a {name}' for name in NAMES])
    samples = shapes()
    texts = space.encode_texts([f'a {name}' for name in NAMES]).numpy()
    assert evaluate(made, samples) == pytest.approx(naive(samples, texts, (1, 3, 5)))
    assert made._chosen.names == NAMES and made._chosen.meta['prompts'] == 'plain'
    with pytest.raises(ValueError, match='text_space and prompts'):
        metric(class_embeddings=dict(text=space))
