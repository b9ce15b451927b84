"""Fixed subsets of labelled sets: shares of the labels, and few-shot folds.

Which samples belong to a subset depends on their names and labels and on the numbers given here,
not on the order of files, the library's version or the machine: names are sorted, and draws come
from NumPy's legacy generator, whose stream is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .samplers import mix_seed

# the seed of every few-shot fold: 10 folds, as usual
FOLD_SEEDS = (11, 23, 37, 41, 53, 67, 79, 83, 97, 101)


class Fold(NamedTuple):
    """One few-shot task.

    Attributes:
        classes: labels of the chosen classes; class i of the task is ``classes[i]``.
        support: for each class of the task, places in the pool to learn from.
        query: for each class of the task, places in the query pool to be judged on.
    """

    classes: list[int]
    support: list[list[int]]
    query: list[list[int]]


def members_of(labels: Sequence[int], names: Sequence[str]) -> dict[int, list[int]]:
    """Label -> places of its samples, sorted by name. Samples without label (-1) are left out.

    Raises:
        ValueError: if there are not as many labels as names, or a name occurs twice in a class.
    """
    if len(labels) != len(names):
        raise ValueError(f'{len(labels)} labels for {len(names)} names')
    members: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        if label >= 0:
            members.setdefault(int(label), []).append(place)
    for label, places in members.items():
        places.sort(key=lambda place: names[place])
        if len({names[place] for place in places}) < len(places):
            raise ValueError(f'class {label} has several samples of one name: no fixed order')
    return members


def label_fraction_subset(
    labels: Sequence[int], names: Sequence[str], fraction: float, seed: int
) -> np.ndarray:
    """Places of a class-balanced share of the samples, ascending.

    Of a class of n samples max(1, floor(fraction * n + 0.5)) are taken, the first of a permutation
    that depends on (seed, label, n). With one seed, smaller shares are parts of larger ones.

    Args:
        labels: class of every sample; without one (-1) it is never taken.
        names: name of every sample.
        fraction: in (0, 1].
        seed: chooses the list.

    Raises:
        ValueError: for a fraction out of range, or no labels at all.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f'the share of the labels must be in (0, 1], got {fraction}')
    members = members_of(labels, names)
    if not members:
        raise ValueError('no sample has a label: there is no share of labels to take')
    chosen: list[int] = []
    for label, places in sorted(members.items()):
        order = np.random.RandomState(mix_seed(seed, label)).permutation(len(places))
        keep = max(1, int(fraction * len(places) + 0.5))
        chosen += [places[i] for i in order[:keep]]
    return np.sort(np.array(chosen, np.int64))


def few_shot_fold(
    labels: Sequence[int],
    names: Sequence[str],
    way: int,
    shot: int,
    queries: int,
    fold: int,
    query_labels: Sequence[int] | None = None,
    query_names: Sequence[str] | None = None,
) -> Fold:
    """Draw fold number ``fold`` of the ``way``-way ``shot``-shot task.

    The generator is seeded with (``FOLD_SEEDS[fold]``, way, shot). It permutes the classes that
    have enough samples and takes the first ``way``; then, class after class, it permutes the
    class's samples (sorted by name) and takes the first ``shot`` as support and the next
    ``queries`` as queries. With a query pool the queries are the first of a further permutation of
    the class's samples there.

    Args:
        labels: class of every sample of the pool.
        names: their names.
        way: number of classes.
        shot: support samples of each class.
        queries: query samples of each class.
        fold: 0 to 9.
        query_labels: classes of a separate query pool, with the same meaning; None takes both
            from one pool, without overlap.
        query_names: names of its samples.

    Raises:
        ValueError: for numbers out of range, or fewer than ``way`` classes with enough samples.
    """
    if way < 2 or shot < 1 or queries < 1 or not 0 <= fold < len(FOLD_SEEDS):
        raise ValueError(
            f'need way >= 2, shot >= 1, queries >= 1 and fold in [0, {len(FOLD_SEEDS)}), got '
            f'way={way}, shot={shot}, queries={queries}, fold={fold}'
        )
    pool = members_of(labels, names)
    if query_labels is None:
        enough = [c for c, places in pool.items() if len(places) >= shot + queries]
    else:
        query_pool = members_of(query_labels, query_names or ())
        enough = [
            c
            for c, places in pool.items()
            if len(places) >= shot and len(query_pool.get(c, ())) >= queries
        ]
    if len(enough) < way:
        raise ValueError(
            f'{way}-way {shot}-shot with {queries} queries a class: only {len(enough)} of '
            f'{len(pool)} classes have enough samples; lower way, shot or queries'
        )
    rng = np.random.RandomState(mix_seed(FOLD_SEEDS[fold], way, shot))
    classes = [int(c) for c in rng.permutation(sorted(enough))[:way]]
    support, query = [], []
    for label in classes:
        places = [pool[label][i] for i in rng.permutation(len(pool[label]))]
        support.append(places[:shot])
        if query_labels is None:
            query.append(places[shot : shot + queries])
        else:
            others = query_pool[label]
            query.append([others[i] for i in rng.permutation(len(others))[:queries]])
    return Fold(classes, support, query)
