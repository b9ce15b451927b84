"""Shaded mesh pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.structures.cameras import Cameras, look_at
from mm3dpretrain.visualization.shading import render_mesh

SQUARE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def cameras_at(*eyes, size=20, focal=20.0, projection='perspective') -> Cameras:
    matrix = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    extrinsics = look_at(torch.tensor(eyes), up=torch.tensor([0.0, 1.0, 0.0]))
    return Cameras(extrinsics[None], matrix.expand(1, len(eyes), 3, 3), (size, size), projection)


def test_both_sides_are_lit_alike_and_the_background_stays():
    cameras = cameras_at([0.0, 0, 4], [0.0, 0, -4])
    out = render_mesh(SQUARE, FACES, cameras, (200, 100, 50), key_light=0.0)
    assert out.rgb.dtype == np.uint8 and out.rgb.shape == (2, 20, 20, 3)
    np.testing.assert_array_equal(out.rgb[0], out.rgb[1])
    np.testing.assert_array_equal(out.rgb[0, 0, 0], [255, 255, 255])
    # the square covers 10 x 10 pixels exactly
    assert out.mask[0].sum() == 100 and (out.alpha[0] == 255).sum() == 100
    np.testing.assert_allclose(out.depth[0][out.mask[0]], 4.0, rtol=1e-5)
    red, green, blue = out.rgb[0, 10, 10].astype(float)
    assert red / green == pytest.approx(2, rel=0.03) and green / blue == pytest.approx(2, rel=0.03)


def test_brightness_follows_lambert():
    cameras = cameras_at([0.0, 0, 4], projection='orthographic', focal=6.0)
    light = dict(ambient=0.0, headlight=1.0, key_light=0.0)
    for angle in (0.0, 40.0, 75.0):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        out = render_mesh(SQUARE @ turn.T, FACES, cameras, (200, 200, 200), **light)
        assert out.rgb[0, 10, 10, 0] == pytest.approx(200 * c, abs=1)


def test_key_light_comes_from_its_direction():
    cameras = cameras_at([0.0, 3.0, 3.0])
    floor = SQUARE[:, [0, 2, 1]]
    light = dict(ambient=0.0, headlight=0.0, key_light=1.0)
    above = render_mesh(floor, FACES, cameras, (200, 200, 200), light_direction=(0, 1, 0), **light)
    below = render_mesh(floor, FACES, cameras, (200, 200, 200), light_direction=(0, -1, 0), **light)
    assert above.rgb[0, 10, 10, 0] == 200 and below.rgb[0, 10, 10, 0] == 0


def test_supersampling_smooths_edges_and_leaves_depth_alone():
    vertices = SQUARE + [0.05, 0.05, 0]  # a quarter of a pixel: edges cut through pixels
    cameras = cameras_at([0.0, 0, 4])
    rough = render_mesh(vertices, FACES, cameras, supersample=1)
    fine = render_mesh(vertices, FACES, cameras, supersample=4)
    assert set(np.unique(rough.alpha)) == {0, 255}
    assert len(np.unique(fine.alpha)) > 2
    np.testing.assert_array_equal(rough.depth, fine.depth)
    np.testing.assert_array_equal(rough.face_index, fine.face_index)
    assert fine.alpha.sum() / 255 == pytest.approx(100, rel=0.03)


def test_transparent_pictures_blend_to_the_opaque_one():
    vertices = SQUARE + [0.05, 0.08, 0]
    cameras = cameras_at([0.0, 0, 4])
    clear = render_mesh(vertices, FACES, cameras, (10, 200, 90), background=None)
    solid = render_mesh(vertices, FACES, cameras, (10, 200, 90), background=(255, 255, 255))
    alpha = clear.alpha[..., None] / 255
    np.testing.assert_allclose(clear.rgb * alpha + 255 * (1 - alpha), solid.rgb, atol=1.5)
    assert (clear.rgb[clear.alpha == 0] == 0).all()


def test_colours_belong_to_faces():
    colors = np.array([[250, 0, 0], [0, 0, 250]], np.uint8)
    out = render_mesh(SQUARE, FACES, cameras_at([0.0, 0, 4]), colors, supersample=1)
    for face, channel in ((0, 0), (1, 2)):
        pixels = out.rgb[out.face_index == face]
        assert len(pixels) > 20 and (pixels.argmax(1) == channel).all()
    as_float = render_mesh(SQUARE, FACES, cameras_at([0.0, 0, 4]), colors / 255.0, supersample=1)
    np.testing.assert_array_equal(out.rgb, as_float.rgb)


def test_refusals():
    cameras = cameras_at([0.0, 0, 4])
    with pytest.raises(ValueError, match='3 face_colors for 2 faces'):
        render_mesh(SQUARE, FACES, cameras, np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError, match='to 2'):
        render_mesh(SQUARE, FACES, cameras, np.full((2, 3), 2.0))
    with pytest.raises(ValueError, match=r'\(3,\) or \(F, 3\)'):
        render_mesh(SQUARE, FACES, cameras, np.zeros((2, 4)))
    with pytest.raises(ValueError, match='supersample'):
        render_mesh(SQUARE, FACES, cameras, supersample=0)
    with pytest.raises(ValueError, match='behind the camera'):
        render_mesh(SQUARE + [0, 0, 9], FACES, cameras)
