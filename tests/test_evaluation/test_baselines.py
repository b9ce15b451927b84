import json

import numpy as np
import pytest

from mm3dpretrain.datasets.transforms.points import random_rotation
from mm3dpretrain.evaluation import d2_histogram, l1_nearest_neighbor


def test_histograms_sum_to_one_and_ignore_rotation_shift_and_scale():
    points = np.random.randn(300, 3) * [1, 2, 0.3]
    first = d2_histogram(points)
    moved = 4.0 * points @ random_rotation().T + [3, -2, 1]
    assert first.shape == (128,) and first.dtype == np.float32
    assert first[:64].sum() == pytest.approx(1, abs=1e-5)
    assert first[64:].sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(first - d2_histogram(moved)).sum() < 0.01
    assert np.abs(first - d2_histogram(np.random.randn(300, 3))).sum() > 0.1


def test_sphere_has_its_known_distribution():
    points = np.random.randn(20000, 3)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    both = np.concatenate([points, -points])  # centred exactly
    histogram = d2_histogram(both, num_pairs=200000)
    edges = np.linspace(0, 2, 65)
    # chords of the unit sphere have the density d / 2
    assert np.abs(histogram[:64] - np.diff(edges**2) / 4).max() < 2e-3
    assert histogram[64:].argmax() == 63


@pytest.mark.parametrize('bad', [np.zeros((0, 3)), np.zeros((4, 2)), np.full((4, 3), np.inf)])
def test_bad_clouds(bad):
    with pytest.raises(ValueError, match='cloud'):
        d2_histogram(bad)


def test_nearest_neighbor():
    train = np.array([[0.0, 0], [4, 4]])
    accuracy = l1_nearest_neighbor(train, [0, 1], np.array([[1.0, 0], [3, 3], [4, 3]]), [0, 1, 0])
    assert accuracy == pytest.approx(200 / 3)
    with pytest.raises(ValueError, match='empty'):
        l1_nearest_neighbor(train, [0, 1], np.zeros((0, 2)), [])


def test_published_level_on_real_shapes(data_root):
    folder = data_root / 'shapes69'
    if not folder.is_dir():
        pytest.skip('shapes69 is not there')
    meta = json.loads((folder / 'meta.json').read_text())
    with np.load(folder / 'points.npz') as arrays:
        points = arrays['points'] * arrays['scale']
    rows = np.stack([d2_histogram(cloud, num_pairs=10000, num_bins=32) for cloud in points])
    labels, train = np.array(meta['label']), np.array(meta['split']) == 'train'
    accuracy = l1_nearest_neighbor(rows[train], labels[train], rows[~train], labels[~train])
    assert 36 < accuracy < 52  # about 45 % is what its makers report
