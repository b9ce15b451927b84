from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from mm3dpretrain.models.renderers import PointSplatRenderer, orbit_views
from mm3dpretrain.visualization import (
    draw_points,
    draw_reconstructions,
    reconstruct_clouds,
    reconstruction_sheet,
)


def test_points_are_upright_and_near_ones_cover_far_ones():
    up = np.array([[0.0, 0.8, 0.0]])
    picture = draw_points(up, 64, np.array([[255, 0, 0]], np.uint8))
    rows, columns = np.nonzero((picture == (255, 0, 0)).all(-1))
    assert rows.mean() < 20 and abs(columns.mean() - 32) < 3
    for axis, index in (('z', 2), ('x', 0)):
        point = np.zeros((1, 3))
        point[0, index] = 0.8
        rows = np.nonzero((draw_points(point, 64, up_axis=axis) < 255).any(-1))[0]
        assert rows.mean() < 20
    # straight in line of sight: the nearer point hides the farther one
    azimuth = 0.0
    from mm3dpretrain.models.renderers.views import orbit_views

    eye = orbit_views(1, elevation=20, distance=2.8, start_azimuth=azimuth).centers[0, 0].numpy()
    ray = eye / np.linalg.norm(eye)
    pair = np.stack([0.5 * ray, -0.5 * ray])
    colors = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    for order in ([0, 1], [1, 0]):
        picture = draw_points(pair[order], 64, colors[order], azimuth=azimuth)
        assert tuple(picture[32, 32]) == (255, 0, 0)


def test_sheet_has_a_row_for_each_cloud(tmp_path):
    output = dict(
        cloud=torch.rand(2, 30, 3) - 0.5,
        depth=torch.rand(2, 3, 16, 16),
        depth_true=torch.rand(2, 3, 16, 16),
    )
    images = [torch.randint(0, 256, (3, 24, 24), dtype=torch.uint8) for _ in range(2)]
    path = draw_reconstructions(
        output, torch.rand(2, 20, 3) - 0.5, images, ['one', 'two'], tmp_path / 'sheet.png', size=48
    )
    sheet = cv2.imread(str(path))
    one = draw_reconstructions(
        {k: v[:1] for k, v in output.items()},
        torch.rand(1, 20, 3) - 0.5,
        images[:1],
        ['one'],
        tmp_path / 'one.png',
        size=48,
    )
    assert sheet.shape[1] >= 5 * 48 and sheet.shape[0] > cv2.imread(str(one)).shape[0]
    assert len(list(tmp_path.iterdir())) == 2, 'no temporary file is left'


class Masked(torch.nn.Module):
    """Hides every second patch of four points and gives back the cloud moved by 0.1 along x."""

    def __init__(self, renderer=None, cameras=None):
        super().__init__()
        self.renderer, self.cameras = renderer, cameras
        self.point_encoder = SimpleNamespace(
            group=lambda points: SimpleNamespace(
                idx=torch.arange(points.shape[1]).reshape(1, -1, 4).expand(len(points), -1, -1)
            )
        )

    def reconstruct(self, points):
        mask = torch.arange(points.shape[1] // 4).remainder(2).bool().expand(len(points), -1)
        return dict(cloud=points[..., :3] + torch.tensor([0.1, 0, 0]), mask=mask)


class Predicting(torch.nn.Module):
    """Gives points in its predictions."""

    def predict(self, inputs):
        return [
            type('Sample', (dict,), dict(pred_points=cloud))(pred_points=cloud)
            for cloud in inputs['points'][..., :3] * 0.5
        ]


def test_what_a_masked_model_saw_and_made():
    points = torch.rand(2, 24, 4) - 0.5
    results = reconstruct_clouds(Masked(), points)
    for result, cloud in zip(results, points.numpy()):
        assert np.array_equal(result.points, cloud[:, :3])
        seen = np.concatenate([np.arange(i, i + 4) for i in (0, 8, 16)])
        assert np.array_equal(result.visible, cloud[seen, :3])
        assert np.allclose(result.cloud, cloud[:, :3] + [0.1, 0, 0])
        assert result.depth.shape == result.depth_true.shape and result.depth.max() <= 1
        assert (result.depth_true > 0).any() and not np.allclose(result.depth, result.depth_true)
    sheet = reconstruction_sheet(results, ['a', 'b'], size=48)
    assert sheet.shape[1] >= 5 * 48


def test_depth_is_that_of_the_models_own_renderer_and_first_view():
    renderer, cameras = PointSplatRenderer(radius=1.5), orbit_views(3, distance=2.0, image_size=20)
    points = torch.rand(1, 24, 3) - 0.5
    (result,) = reconstruct_clouds(Masked(renderer, cameras), points)
    wanted = renderer.depth_image(renderer(points, cameras))[0, 0]
    assert np.allclose(result.depth_true, wanted.numpy())


def test_a_model_that_predicts_points_hides_nothing():
    points = torch.rand(1, 24, 3) - 0.5
    (result,) = reconstruct_clouds(Predicting(), points, up_axis='z')
    assert result.visible is None and np.allclose(result.cloud, points[0].numpy() * 0.5)
    assert reconstruction_sheet([result], ['a'], 48).shape[1] < 5 * 48


def test_a_model_that_reconstructs_nothing_is_named():
    with pytest.raises(ValueError, match='Linear reconstructs no points'):
        reconstruct_clouds(torch.nn.Linear(3, 3), torch.rand(1, 8, 3))
