import cv2
import numpy as np
import pytest

from mm3dpretrain.visualization.embedding_map import draw_embedding, embed_2d


def clusters(num=60, seed=0):
    rng = np.random.RandomState(seed)
    labels = np.arange(num) % 3
    return 8 * np.eye(3)[labels] @ rng.randn(3, 10) + rng.randn(num, 10), labels


@pytest.mark.parametrize('method', ['tsne', 'pca'])
def test_clusters_stay_together_and_runs_repeat(method):
    features, labels = clusters()
    flat = embed_2d(features, method, seed=1)
    assert flat.shape == (60, 2) and flat.dtype == np.float32
    np.testing.assert_array_equal(flat, embed_2d(features, method, seed=1))
    centers = np.stack([flat[labels == c].mean(0) for c in range(3)])
    nearest = np.linalg.norm(flat[:, None] - centers, axis=-1).argmin(1)
    assert (nearest == labels).mean() > 0.95


def test_pca_equals_its_definition():
    features, _ = clusters()
    x = (features - features.mean(0)) / features.std(0)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    expected = np.abs(x @ vectors[:, ::-1][:, :2])
    np.testing.assert_allclose(np.abs(embed_2d(features, 'pca')), expected, atol=1e-4)


def test_one_channel_and_small_sets():
    assert embed_2d(np.random.rand(6, 1), 'pca')[:, 1].tolist() == [0] * 6
    assert embed_2d(np.random.rand(5, 3), 'tsne').shape == (5, 2)


@pytest.mark.parametrize(
    'arguments, message',
    [
        ((np.zeros((9, 2)), 'umap'), 'umap'),
        ((np.zeros((3, 2)), 'pca'), 'at least 4'),
        ((np.full((9, 2), np.nan), 'pca'), 'NaN'),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        embed_2d(*arguments)


def test_picture(tmp_path):
    labels = np.arange(90) % 30 - 1
    flat = np.random.randn(90, 2)
    path = draw_embedding(flat, labels, tmp_path / 'map.png', [f'c{i}' for i in range(29)], 'title')
    picture = cv2.imread(str(path))
    assert picture.shape[:2] == (880, 880)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 30
    with pytest.raises(ValueError, match='3 labels'):
        draw_embedding(flat, labels[:3], tmp_path / 'x.png')
