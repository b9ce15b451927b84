from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mm3dpretrain.visualization import pca_colors, point_features


class Encoder(nn.Module):
    """Patches of four points; the feature of a patch is its centre, twice."""

    def __init__(self, **changes):
        super().__init__()
        self.changes = changes

    def forward(self, points):
        xyz = points[:, ::4, :3]
        outputs = {'global': xyz[:, 0], 'local': torch.cat([xyz, xyz], -1), 'xyz': xyz}
        return {k: v for k, v in (outputs | self.changes).items() if v is not ...}


class Pretrainer(Encoder):
    """The same as a pretrainer."""

    def extract_feat(self, inputs, data_samples=None):
        return self(inputs['points'])


@pytest.mark.parametrize('kind', [Encoder, Pretrainer])
def test_features_are_carried_from_the_centres_to_the_points(kind):
    points = torch.rand(2, 40, 5)
    features = point_features(kind(), points)
    assert features.shape == (2, 40, 6)
    # exact at the centres, and elsewhere within the range of the nearest three
    assert torch.allclose(features[:, ::4, :3], points[:, ::4, :3], atol=1e-3)
    nearest = torch.cdist(points[..., :3], points[:, ::4, :3]).topk(3, largest=False).indices
    for batch in range(2):
        around = points[batch, ::4, :3][nearest[batch]]
        low, high = around.amin(1) - 1e-5, around.amax(1) + 1e-5
        inside = (features[batch, :, :3] >= low) & (features[batch, :, :3] <= high)
        assert bool(inside.all())


@pytest.mark.parametrize('changes', [dict(local=...), dict(xyz=...), dict(local=None)])
def test_a_model_without_local_features_is_named(changes):
    with pytest.raises(ValueError, match='Encoder has no local features to show.*it gives'):
        point_features(Encoder(**changes), torch.rand(1, 8, 3))


def test_components_come_in_the_order_of_their_variance():
    rng = np.random.default_rng(0)
    # five hidden directions of falling strength, turned
    hidden = rng.normal(size=(600, 5)) * [9, 5, 3, 0.1, 0.05]
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    colors = np.concatenate(pca_colors(np.split(hidden @ turn, 3)))
    for channel in range(3):
        matrix = np.corrcoef(colors[:, channel].astype(float), hidden.T)
        assert abs(matrix[0, 1 + channel]) > 0.97
        assert np.delete(np.abs(matrix[0, 1:]), channel).max() < 0.2
    # the whole scale is used
    assert (colors.min(0) == 0).all() and (colors.max(0) == 255).all()


def test_one_colour_means_the_same_in_all_clouds():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(100, 4))
    a, b, c = pca_colors([features[:60], features[30:], features[:1]])
    assert np.array_equal(a[30:], b[:30]) and np.array_equal(c, a[:1])
    assert [len(part) for part in (a, b, c)] == [60, 70, 1]


def test_signs_do_not_depend_on_the_order_of_the_points():
    features = np.random.default_rng(2).normal(size=(200, 6)) * np.arange(1, 7)
    (colors,) = pca_colors([features])
    (again,) = pca_colors([features[::-1] + 5.0])  # nor on the mean
    assert np.abs(colors.astype(int) - again[::-1]).max() <= 1


def test_directions_that_are_not_there_are_grey():
    line = np.random.default_rng(3).normal(size=(50, 1)) @ np.ones((1, 5))
    (colors,) = pca_colors([line])
    assert (colors[:, 1:] == 128).all() and len(set(colors[:, 0].tolist())) > 10
    (colors,) = pca_colors([np.ones((4, 5))])
    assert (colors == 128).all()
    (colors,) = pca_colors([np.random.default_rng(4).normal(size=(50, 2))])
    assert (colors[:, 2] == 128).all() and colors[:, 1].std() > 10


@pytest.mark.parametrize(
    'features, message',
    [
        ([], 'one C'),
        ([np.ones((3, 4)), np.ones((3, 5))], r'one C, got \[\(3, 4\), \(3, 5\)\]'),
        ([np.ones((0, 4))], 'one C'),
        ([np.full((3, 4), np.nan)], 'NaN or infinite'),
    ],
)
def test_bad_features(features, message):
    with pytest.raises(ValueError, match=message):
        pca_colors(features)
