import numpy as np
import pytest
from sklearn.svm import SVC

from mm3dpretrain.evaluation import probes


def blobs(num, seed, classes=4, width=8, spread=0.5, scale=1.0, offset=0.0):
    rng = np.random.RandomState(seed)
    centers = np.random.RandomState(99).randn(classes, width)
    y = np.arange(num) % classes
    return (centers[y] + spread * rng.randn(num, width)) * scale + offset, y


def test_svm_equals_sklearn_on_standardised_features():
    (train_x, train_y), (test_x, test_y) = blobs(80, 0, spread=1.0), blobs(60, 1, spread=1.0)
    mean, std = train_x.mean(0), train_x.std(0)
    machine = SVC(kernel='linear', C=3.0 / 8).fit((train_x - mean) / std, train_y)
    expected = 100 * machine.score((test_x - mean) / std, test_y)
    found = probes.linear_svm_probe(train_x, train_y, test_x, test_y, C=3.0)
    assert found['accuracy'] == pytest.approx(expected)
    assert 30 < expected < 100  # neither trivial nor chance: the comparison says something


@pytest.mark.parametrize('probe', [probes.linear_svm_probe, probes.knn_probe])
def test_scores_ignore_offset_and_scale_of_features(probe):
    train, test = blobs(60, 0), blobs(40, 1)
    moved, moved_test = blobs(60, 0, scale=20, offset=500), blobs(40, 1, scale=20, offset=500)
    assert probe(*train, *test) == probe(*moved, *moved_test)


@pytest.mark.parametrize('probe', [probes.linear_svm_probe, probes.knn_probe])
def test_separable_classes_are_found_and_noise_is_at_chance(probe):
    good = probe(*blobs(80, 0, spread=0.1), *blobs(80, 1, spread=0.1))
    assert good['accuracy'] == 100
    rng = np.random.RandomState(0)
    noise = probe(rng.randn(200, 8), np.arange(200) % 4, rng.randn(200, 8), np.arange(200) % 4)
    assert 10 < noise['accuracy'] < 40


def test_c_is_chosen_without_the_test_labels():
    (train_x, train_y), (test_x, test_y) = blobs(80, 0, spread=1.5), blobs(60, 1, spread=1.5)
    chosen = probes.linear_svm_probe(train_x, train_y, test_x, test_y)['C']
    shuffled = np.random.RandomState(0).permutation(test_y)
    assert probes.linear_svm_probe(train_x, train_y, test_x, shuffled)['C'] == chosen
    assert chosen in probes.SVM_C_GRID


def test_c_adapts_to_the_features():
    rng = np.random.RandomState(0)
    # signal in a direction of small variance needs a large penalty
    x = rng.randn(300, 2)
    y = (x[:, 0] + 0.02 * rng.randn(300) > 0).astype(int)
    x[:, 1] += 30 * x[:, 0]
    found = probes.linear_svm_probe(x[:200], y[:200], x[200:], y[200:])
    small = probes.linear_svm_probe(x[:200], y[:200], x[200:], y[200:], C=probes.SVM_C_GRID[0])
    assert found['accuracy'] >= small['accuracy']


def test_knn_equals_a_loop():
    (train_x, train_y), (test_x, test_y) = blobs(50, 0, spread=1.5), blobs(30, 1, spread=1.5)
    a, b = probes.standardize(train_x, test_x)
    hits = 0
    for row, label in zip(b, test_y):
        cosine = a @ row / np.linalg.norm(a, axis=1) / np.linalg.norm(row)
        votes = np.zeros(4)
        for j in np.argsort(-cosine)[:7]:
            votes[train_y[j]] += np.exp(cosine[j] / 0.2)
        hits += votes.argmax() == label
    found = probes.knn_probe(train_x, train_y, test_x, test_y, k=7, temperature=0.2)
    assert found['accuracy'] == pytest.approx(100 * hits / 30)


def test_knn_takes_at_most_the_training_features():
    assert probes.knn_probe(*blobs(8, 0), *blobs(8, 1), k=100)['k'] == 8


def test_constant_channels_stay_silent():
    train, test = np.ones((6, 2)), np.ones((3, 2))
    train[:, 1] = np.arange(6)
    test[:, 0] = 7.0
    a, b = probes.standardize(train, test)
    assert not a[:, 0].any() and not b[:, 0].any()
    assert a[:, 1].std() == pytest.approx(1)


def test_rare_classes_do_not_stop_the_choice_of_c():
    x, y = blobs(20, 0)
    y = y.copy()
    y[0] = 9
    assert probes.linear_svm_probe(x, y, x, y)['accuracy'] >= 85


def test_summary():
    assert probes.summarize([1.0, 2.0, 3.0]) == dict(mean=2.0, std=1.0, seeds=[1.0, 2.0, 3.0])
    assert probes.summarize([5.0])['std'] == 0
    with pytest.raises(ValueError, match='seed'):
        probes.summarize([])


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(train_x=np.full((6, 3), np.nan)), '6 of 6 training features are NaN'),
        (dict(test_x=np.zeros((2, 4))), r'\(6, 3\) and \(2, 4\)'),
        (dict(test_x=np.zeros((0, 3)), test_y=np.zeros(0, int)), 'test split holds no'),
        (dict(train_y=np.full(6, -1)), 'no label'),
        (dict(train_y=np.zeros(6, int)), 'one class only'),
        (dict(train_y=np.zeros(5, int)), '6 training features but labels'),
    ],
)
def test_bad_input_is_named(change, message):
    arrays = dict(
        train_x=np.random.RandomState(0).randn(6, 3),
        train_y=np.arange(6) % 2,
        test_x=np.zeros((2, 3)),
        test_y=np.zeros(2, int),
    )
    arrays.update(change)
    with pytest.raises(ValueError, match=message):
        probes.linear_svm_probe(**arrays)


@pytest.mark.parametrize('bad', [dict(k=0), dict(temperature=0.0)])
def test_knn_arguments(bad):
    with pytest.raises(ValueError, match='k=|temperature='):
        probes.knn_probe(*blobs(8, 0), *blobs(8, 1), **bad)
