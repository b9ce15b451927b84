"""Probes of frozen features: a linear SVM and a k-nearest-neighbour vote.

One call judges one pair of feature arrays and returns one accuracy. Seeds live a level up, in
:mod:`mm3dpretrain.evaluation.probe_runner`: both classifiers are deterministic for fixed arrays,
so a standard deviation over seeds that only re-ran them would be an empty number. What differs
from seed to seed there are the points drawn from every shape, the folds that choose ``C`` and
the initialisation of the untrained encoder.

No function here looks at the test labels before the final score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mm3dpretrain.compat import require

# multiples of the inverse mean squared feature norm, so the grid means the same for every encoder
SVM_C_GRID = (0.1, 1.0, 10.0, 100.0)


def standardize(train_x: np.ndarray, test_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale both arrays by the mean and deviation of the training features.

    Untrained encoders give features that differ from shape to shape only by a small part of a
    large common offset. Without this step both probes would mostly measure that offset.

    Args:
        train_x: (N, C) features of the training split.
        test_x: (M, C) features of the test split.

    Returns:
        Two float64 arrays of the same shapes. Channels that never vary in training become 0.

    Raises:
        ValueError: if the shapes do not fit, an array is empty or a value is not finite.
    """
    train_x, test_x = np.asarray(train_x, np.float64), np.asarray(test_x, np.float64)
    if train_x.ndim != 2 or test_x.ndim != 2 or train_x.shape[1] != test_x.shape[1]:
        raise ValueError(
            'features must be (N, C) and (M, C) with the same C, got '
            f'{train_x.shape} and {test_x.shape}'
        )
    for name, values in (('training', train_x), ('test', test_x)):
        if not len(values):
            raise ValueError(f'the {name} split holds no features')
        broken = int((~np.isfinite(values).all(axis=1)).sum())
        if broken:
            raise ValueError(
                f'{broken} of {len(values)} {name} features are NaN or infinite: the encoder '
                'diverged or its input was broken'
            )
    mean, std = train_x.mean(axis=0), train_x.std(axis=0)
    # a constant channel has a deviation of rounding noise; dividing by it would invent a signal
    alive = std > 1e-7 * np.maximum(1.0, np.abs(mean))
    scale = np.where(alive, 1.0 / np.where(alive, std, 1.0), 0.0)
    return (train_x - mean) * scale, (test_x - mean) * scale


def linear_svm_probe(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    C: float | None = None,
    folds: int = 3,
    seed: int = 0,
) -> dict:
    """Accuracy of a linear SVM (one against one, libsvm) on standardised features.

    The kernel is ``x . x' / C_dim`` of standardised features, so that ``C`` does not depend on
    the width of the encoder.

    Args:
        train_x: (N, C_dim) frozen features.
        train_y: (N,) int labels.
        test_x: (M, C_dim).
        test_y: (M,).
        C: penalty; None chooses it from :data:`SVM_C_GRID` by stratified cross-validation
            inside the training split.
        folds: number of folds of that cross-validation.
        seed: of the folds.

    Returns:
        ``dict(accuracy=..., C=...)``, accuracy in percent.

    Raises:
        ValueError: see :func:`standardize`; for labels that do not fit the features; for fewer
            than two classes.
        ImportError: without scikit-learn.
    """
    svm = require('sklearn.svm', extra='eval', why='the linear SVM probe')
    train_y, test_y = _check_labels(train_x, train_y, test_x, test_y)
    train_x, test_x = standardize(train_x, test_x)
    gram = train_x @ train_x.T / train_x.shape[1]
    if C is None:
        C = _choose_c(gram, train_y, folds, seed)
    machine = svm.SVC(kernel='precomputed', C=C).fit(gram, train_y)
    predicted = machine.predict(test_x @ train_x.T / train_x.shape[1])
    return dict(accuracy=_percent(predicted, test_y), C=float(C))


def _choose_c(gram: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> float:
    """The smallest ``C`` with the best mean accuracy over stratified folds."""
    svm = require('sklearn.svm', extra='eval', why='the linear SVM probe')
    folds = min(folds, int(np.unique(labels, return_counts=True)[1].max()), len(labels))
    if folds < 2:
        return 1.0
    # every class with at least two members is seen in training; warnings on rarer ones are noise
    order = np.random.RandomState(seed).permutation(len(labels))
    fold_of = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        fold_of[members] = np.arange(len(members)) % folds
    scores = []
    for c in SVM_C_GRID:
        hits = 0
        for fold in range(folds):
            inner, held = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
            if len(np.unique(labels[inner])) < 2:
                continue
            machine = svm.SVC(kernel='precomputed', C=c).fit(
                gram[np.ix_(inner, inner)], labels[inner]
            )
            hits += int((machine.predict(gram[np.ix_(held, inner)]) == labels[held]).sum())
        scores.append(hits)
    return float(SVM_C_GRID[int(np.argmax(scores))])


def knn_probe(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    k: int = 20,
    temperature: float = 0.07,
) -> dict:
    """Accuracy of a weighted cosine k-nearest-neighbour vote on standardised features.

    Each of the ``k`` nearest training features votes for its class with the weight
    ``exp(cosine / temperature)`` (Wu et al., Instance Discrimination, CVPR 2018, section 3.4).

    Args:
        train_x: (N, C) frozen features.
        train_y: (N,) int labels.
        test_x: (M, C).
        test_y: (M,).
        k: number of neighbours; at most N are used.
        temperature: of the weights, positive.

    Returns:
        ``dict(accuracy=..., k=...)``, accuracy in percent.

    Raises:
        ValueError: as :func:`linear_svm_probe`, or for ``k < 1`` or ``temperature <= 0``.
    """
    if k < 1 or temperature <= 0:
        raise ValueError(
            f'kNN needs k >= 1 and a positive temperature, got k={k}, temperature={temperature}'
        )
    train_y, test_y = _check_labels(train_x, train_y, test_x, test_y)
    train_x, test_x = standardize(train_x, test_x)
    k = min(k, len(train_x))
    cosine = _unit(test_x) @ _unit(train_x).T
    nearest = np.argsort(-cosine, axis=1, kind='stable')[:, :k]
    similarity = np.take_along_axis(cosine, nearest, axis=1)
    weight = np.exp((similarity - similarity[:, :1]) / temperature)
    classes, train_index = np.unique(train_y, return_inverse=True)
    votes = np.zeros((len(test_x), len(classes)))
    rows = np.repeat(np.arange(len(test_x)), k)
    np.add.at(votes, (rows, train_index[nearest].ravel()), weight.ravel())
    return dict(accuracy=_percent(classes[votes.argmax(axis=1)], test_y), k=k)


def summarize(scores: Sequence[float]) -> dict:
    """Mean and sample standard deviation (n - 1; 0 for a single score) of accuracies.

    Args:
        scores: one accuracy in percent per seed.

    Returns:
        ``dict(mean=..., std=..., seeds=[...])``; ``seeds`` holds the accuracy of every seed.

    Raises:
        ValueError: for an empty list.
    """
    values = np.asarray(list(scores), np.float64)
    if not len(values):
        raise ValueError('no scores to summarise: give at least one seed')
    std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return dict(mean=float(values.mean()), std=std, seeds=[float(v) for v in values])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _percent(predicted: np.ndarray, labels: np.ndarray) -> float:
    return float(100.0 * (predicted == labels).mean())


def _check_labels(train_x, train_y, test_x, test_y) -> tuple[np.ndarray, np.ndarray]:
    train_y, test_y = np.asarray(train_y), np.asarray(test_y)
    for name, x, y in (('training', train_x, train_y), ('test', test_x, test_y)):
        if y.ndim != 1 or len(y) != len(x):
            raise ValueError(f'{len(x)} {name} features but labels of shape {y.shape}')
        if len(y) and y.min() < 0:
            raise ValueError(
                f'{int((y < 0).sum())} {name} samples have no label (-1): a probe needs a '
                'data set with classes'
            )
    if len(np.unique(train_y)) < 2:
        raise ValueError(f'the training split holds one class only: {np.unique(train_y)}')
    return train_y, test_y
