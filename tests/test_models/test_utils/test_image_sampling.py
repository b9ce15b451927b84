from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.models.renderers import PointProjector
from mm3dpretrain.models.utils.image_sampling import project_to_images, sample_images

REFERENCE = dict(align_corners=True, padding='zeros')


def golden_case(golden, case):
    ref = {k.split('/')[1]: v for k, v in golden('simipu/point_sample.npz').items() if case in k}
    sx, sy = ref['scale_factor_wh']
    cx, cy = ref['crop_offset_wh']
    change = np.array([[sx, 0, -cx, 0], [0, sy, -cy, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
    if ref['flip']:
        mirror = np.diag([-1.0, 1, 1, 1])
        mirror[0, 2] = ref['img_shape_hw'][1]
        change = mirror @ change
    matrix = torch.from_numpy((change @ ref['lidar2img']).astype(np.float32))[None, None]
    return ref, torch.from_numpy(ref['points'])[None], matrix


@pytest.mark.parametrize('case', ['case0', 'case1', 'case2', 'case3'])
def test_parity_with_the_public_code(golden, case):
    """One matrix with every change of the picture gives what the step by step code gives."""
    ref, points, matrix = golden_case(golden, case)
    size = tuple(ref['pad_shape_hw'].tolist())
    uv, z, seen = project_to_images(points, matrix, size)
    front = z[0, 0] > 0.5
    assert 10 < front.sum() < len(front)
    np.testing.assert_allclose(
        uv[0, 0][front], ref['pixel_uv_after_aug'][front.numpy()], rtol=1e-4, atol=2e-2
    )
    features = torch.from_numpy(ref['features']).requires_grad_()
    sampled = sample_images([features], uv, size, projector=PointProjector(**REFERENCE))[0]
    np.testing.assert_allclose(sampled.detach(), ref['sampled'], atol=1e-4)
    (sampled * torch.from_numpy(ref['weight'])).sum().backward()
    np.testing.assert_allclose(features.grad, ref['grad_features'], atol=2e-4)
    # behind the camera or outside: zeros in the public code, not seen here
    assert not seen[0, 0][z[0, 0] <= 0].any()


def camera(focal=10.0, size=(20, 30)):
    """Looks along +x of the LiDAR frame; u = W/2 - focal y/x."""
    height, width = size
    turn = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    project = torch.tensor(
        [[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    return project @ turn


def naive_seen(xyz, matrix, width, height):
    found = []
    for point in xyz.double():
        u, v, z, _ = (matrix.double() @ torch.cat([point, point.new_ones(1)])).tolist()
        found.append(z > 1e-6 and 0 <= u / z < width and 0 <= v / z < height)
    return found


def test_masks():
    xyz = torch.randn(1, 200, 3) * torch.tensor([10.0, 10, 5])
    matrix = camera()[None, None]
    shape = torch.tensor([[[16.0, 24.0]]])
    seen = project_to_images(xyz, matrix, (20, 30))[2]
    inside = project_to_images(xyz, matrix, (20, 30), shape)[2]
    assert seen[0, 0].tolist() == naive_seen(xyz[0], camera(), 30, 20)
    assert inside[0, 0].tolist() == naive_seen(xyz[0], camera(), 24, 16)
    assert 0 < inside.sum() < seen.sum() < 200


def test_hidden_points():
    """One behind the other in the same pixel: the depth of the sweep knows the nearer one."""
    xyz = torch.tensor([[[5.0, 0, 0], [10.0, 0, 0], [10.0, 4, 0], [10.0, -4, 0]]])
    depth = torch.zeros(1, 1, 10, 15)
    depth[0, 0, 5, 7], depth[0, 0, 5, 5] = 5.0, 10.3
    projector = PointProjector(tolerance=0.05, relative=True)
    seen = project_to_images(xyz, camera()[None, None], (20, 30), None, depth, projector)[2]
    assert seen.flatten().tolist() == [True, False, True, False]


def test_several_levels_and_cameras():
    """Against loops: the mean over the cameras that see a point, levels side by side."""
    views, size = 3, (16, 24)
    maps = [torch.randn(2 * views, 4, 8, 12), torch.randn(2 * views, 2, 4, 6)]
    uv = torch.rand(2, views, 9, 2) * torch.tensor([24.0, 16.0])
    seen = torch.rand(2, views, 9) < 0.5
    seen[0, :, 0] = False
    out = sample_images(maps, uv, size, seen)
    assert out.shape == (2, 9, 6) and (out[0, 0] == 0).all()
    projector = PointProjector()
    for sample in range(2):
        for point in range(9):
            rows = []
            for view in range(views):
                if seen[sample, view, point]:
                    where = uv[sample, view, point].view(1, 1, 1, 2)
                    row = [
                        projector.sample(
                            m[sample * views + view][None, None], where, size
                        ).flatten()
                        for m in maps
                    ]
                    rows.append(torch.cat(row))
            if rows:
                torch.testing.assert_close(out[sample, point], torch.stack(rows).mean(0))


def test_half_pixel_rule_reads_cell_centres():
    """Position (j + 0.5) stride of a picture is cell j, whatever the padding."""
    level = torch.arange(24.0).view(1, 1, 4, 6)
    uv = torch.tensor([[[[4.0, 4.0], [12.0, 4.0], [44.0, 28.0]]]])
    found = sample_images([level], uv, (32, 48)).flatten()
    torch.testing.assert_close(found, torch.tensor([0.0, 1, 23]))


def test_mistakes():
    with pytest.raises(ValueError, match='lidar2img'):
        project_to_images(torch.zeros(1, 2, 3), torch.eye(4)[None], (8, 8))
    with pytest.raises(ValueError, match='img_shape'):
        project_to_images(torch.zeros(1, 2, 3), torch.eye(4)[None, None], (8, 8), torch.zeros(1, 2))
