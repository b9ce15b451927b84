"""Shares of the labels and few-shot folds: balanced, nested, repeatable, and never changing."""

import numpy as np
import pytest

from mm3dpretrain.datasets.subsets import FOLD_SEEDS, few_shot_fold, label_fraction_subset
from mm3dpretrain.registry import DATASETS

LABELS = [label for label, count in enumerate((7, 20, 100, 1)) for _ in range(count)] + [-1, -1]
NAMES = [f's{i:03d}' for i in range(len(LABELS))]


def names_of(places, names=NAMES):
    return {names[i] for i in places}


@pytest.mark.parametrize(
    'fraction, counts',
    [(0.01, (1, 1, 1, 1)), (0.1, (1, 2, 10, 1)), (0.25, (2, 5, 25, 1)), (1.0, (7, 20, 100, 1))],
)
def test_share_of_every_class(fraction, counts):
    chosen = label_fraction_subset(LABELS, NAMES, fraction, seed=0)
    assert np.bincount(np.array(LABELS)[chosen]).tolist() == list(counts)
    assert (np.diff(chosen) > 0).all()


def test_smaller_shares_are_parts_of_larger_ones():
    shares = [set(label_fraction_subset(LABELS, NAMES, f, 3)) for f in (0.01, 0.05, 0.1, 0.25, 1)]
    assert all(small <= large for small, large in zip(shares, shares[1:]))
    assert shares[2] != set(label_fraction_subset(LABELS, NAMES, 0.1, 4))


def test_order_of_the_samples_does_not_matter():
    order = np.random.permutation(len(LABELS))
    labels, names = [LABELS[i] for i in order], [NAMES[i] for i in order]
    assert names_of(label_fraction_subset(labels, names, 0.1, 0), names) == names_of(
        label_fraction_subset(LABELS, NAMES, 0.1, 0)
    )
    first = few_shot_fold(LABELS, NAMES, 3, 2, 4, 0)
    again = few_shot_fold(labels, names, 3, 2, 4, 0)
    assert first.classes == again.classes
    for mine, yours in zip(first.support + first.query, again.support + again.query):
        assert [NAMES[i] for i in mine] == [names[i] for i in yours]


def test_lists_are_fixed_for_ever():
    """Published lists: a change of these values changes every result that quotes them."""
    assert len(set(FOLD_SEEDS)) == 10
    chosen = label_fraction_subset(LABELS, NAMES, 0.1, seed=0)
    assert chosen.tolist() == PINNED_SHARE
    fold = few_shot_fold(LABELS, NAMES, way=2, shot=2, queries=3, fold=0)
    assert (fold.classes, fold.support, fold.query) == PINNED_FOLD


PINNED_SHARE = [1, 12, 26, 28, 55, 62, 76, 110, 111, 112, 114, 118, 119, 127]
PINNED_FOLD = ([0, 1], [[0, 4], [21, 8]], [[1, 5, 6], [11, 7, 13]])


def test_folds():
    seen = set()
    for fold in range(10):
        task = few_shot_fold(LABELS, NAMES, 2, 3, 4, fold)
        assert task == few_shot_fold(LABELS, NAMES, 2, 3, 4, fold)
        assert len(set(task.classes)) == 2 and 3 not in task.classes  # one sample is too few
        for label, support, query in zip(*task):
            assert len(set(support + query)) == 7  # no overlap
            assert {LABELS[i] for i in support + query} == {label}
            assert (len(support), len(query)) == (3, 4)
        seen.add(str(task))
    assert len(seen) == 10
    assert few_shot_fold(LABELS, NAMES, 2, 4, 4, 0) != few_shot_fold(LABELS, NAMES, 2, 3, 4, 0)


def test_separate_query_pool():
    labels = [2] * 5 + [1] * 5
    names = [f'q{i}' for i in range(10)]
    task = few_shot_fold(LABELS, NAMES, 2, 20, 5, 1, labels, names)
    assert sorted(task.classes) == [1, 2]
    for label, support, query in zip(*task):
        assert {LABELS[i] for i in support} == {labels[i] for i in query} == {label}
        assert len(set(query)) == 5 and len(set(support)) == 20


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda: label_fraction_subset(LABELS, NAMES, 0, 0), r'in \(0, 1\]'),
        (lambda: label_fraction_subset([-1], ['a'], 0.5, 0), 'no sample has a label'),
        (lambda: label_fraction_subset([0, 0], ['a', 'a'], 0.5, 0), 'several samples of one name'),
        (lambda: label_fraction_subset([0, 0], ['a'], 0.5, 0), '2 labels for 1 names'),
        (lambda: few_shot_fold(LABELS, NAMES, 4, 1, 1, 0), 'only 3 of 4 classes'),
        (lambda: few_shot_fold(LABELS, NAMES, 1, 1, 1, 0), 'way >= 2'),
        (lambda: few_shot_fold(LABELS, NAMES, 2, 1, 1, 10), 'fold in'),
    ],
)
def test_bad_numbers(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_data_set_option(shapenet_root):
    common = dict(
        type='ShapeNet55', data_root=str(shapenet_root), whole=True, expected_count=None,
        pipeline=[],
    )  # fmt: skip
    half = DATASETS.build(dict(common, label_fraction=0.5))
    assert np.bincount(half.gt_labels).tolist() == [2, 2]
    everything = DATASETS.build(dict(common, label_fraction=1.0))
    assert len(everything) == 7
    with pytest.raises(ValueError, match='label_fraction'):
        DATASETS.build(dict(common, label_fraction=0))
