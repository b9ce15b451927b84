from __future__ import annotations

import cv2
import numpy as np
import torch

from mm3dpretrain.visualization import draw_points, draw_reconstructions


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
