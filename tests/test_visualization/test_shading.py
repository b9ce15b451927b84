"""Shaded mesh pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.ops.rasterize import face_normals, rasterize_mesh
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


PLAIN = dict(ambient=1.0, headlight=0.0, key_light=0.0, supersample=1)
UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])  # of SQUARE: lower left, ... counter-clockwise


def naive_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear look-up with repetition, one texel after the other."""
    height, width = texture.shape[:2]
    out = np.zeros((len(uv), 3))
    for n, (u, v) in enumerate(uv):
        x, y = u * width - 0.5, (1 - v) * height - 0.5
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for col in (int(np.floor(x)), int(np.floor(x)) + 1):
                weight = (1 - abs(x - col)) * (1 - abs(y - row))
                out[n] += weight * texture[row % height, col % width]
    return out


def pixel_uv(size: int = 20) -> np.ndarray:
    """UV that each pixel centre sees on SQUARE, which covers the middle 10 x 10 pixels."""
    steps = (np.arange(size) + 0.5 - size / 4) / (size / 2)
    v, u = np.meshgrid(1 - steps, steps, indexing='ij')
    return np.stack([u, v], -1)


def test_vertex_colours_are_interpolated():
    colors = np.array([[0, 0, 0], [200, 0, 0], [200, 100, 0], [0, 100, 0]], np.uint8)
    out = render_mesh(SQUARE, FACES, cameras_at([0.0, 0, 4]), vertex_colors=colors, **PLAIN)
    uv = pixel_uv()[out.mask[0]]
    np.testing.assert_allclose(out.rgb[0][out.mask[0]][:, 0], 200 * uv[:, 0], atol=1)
    np.testing.assert_allclose(out.rgb[0][out.mask[0]][:, 1], 100 * uv[:, 1], atol=1)
    tinted = render_mesh(
        SQUARE, FACES, cameras_at([0.0, 0, 4]), (255, 0, 0), vertex_colors=colors, **PLAIN
    )
    assert tinted.rgb[0, 10, 10, 1] == 0 and tinted.rgb[0, 10, 10, 0] == out.rgb[0, 10, 10, 0]


@pytest.mark.parametrize('shift', [0.0, 0.3, -1.7])
def test_texture_equals_the_naive_look_up(shift):
    texture = np.random.default_rng(0).integers(0, 256, (5, 3, 3)).astype(np.uint8)
    cameras = cameras_at([0.0, 0, 4])
    out = render_mesh(SQUARE, FACES, cameras, uv=UV + shift, textures=[texture], **PLAIN)
    expected = naive_texture(texture, pixel_uv()[out.mask[0]] + shift)
    np.testing.assert_allclose(out.rgb[0][out.mask[0]], expected, atol=1)


def test_texture_is_the_right_way_up():
    """The first row of the picture is above, its first column on the left."""
    texture = np.zeros((8, 8, 3), np.uint8)
    texture[:4, :4] = [255, 0, 0]
    out = render_mesh(SQUARE, FACES, cameras_at([0.0, 0, 4]), uv=UV, textures=[texture], **PLAIN)
    assert out.rgb[0, 6, 6].tolist() == [255, 0, 0]
    for row, col in ((6, 13), (13, 6), (13, 13)):
        assert out.rgb[0, row, col].tolist() == [0, 0, 0]


def test_only_faces_with_a_texture_show_it():
    textures = [np.full((2, 2, 3), 10, np.uint8), np.full((1, 1, 3), 90, np.uint8)]
    colors = np.array([[200, 200, 200], [255, 255, 255]], np.uint8)
    out = render_mesh(
        SQUARE, FACES, cameras_at([0.0, 0, 4]), colors,
        uv=UV, textures=textures, face_texture=[-1, 1], **PLAIN,
    )  # fmt: skip
    assert set(np.unique(out.rgb[out.face_index == 0])) == {200}
    assert set(np.unique(out.rgb[out.face_index == 1])) == {90}


def test_normals_point_to_the_viewer():
    cameras = cameras_at([0.0, 0, 4], [0.0, 0, -4])
    out = render_mesh(SQUARE, FACES, cameras)
    for view, sign in ((0, 1.0), (1, -1.0)):
        seen = out.normals[view][out.mask[view]]
        np.testing.assert_allclose(seen, np.broadcast_to([0, 0, sign], seen.shape), atol=1e-6)
        assert (out.normals[view][~out.mask[view]] == 0).all()


def naive_picture(vertices, faces, cameras, colors, supersample, background):
    """What ``render_mesh`` computes, array by array."""
    size = cameras.image_size[0]
    fine = cameras.rescale((size * supersample, size * supersample))
    raster = rasterize_mesh(vertices, faces, fine)
    normals, _ = face_normals(np.asarray(vertices, float), faces)
    lamp = np.array([0.4, 1.0, 0.25]) / np.linalg.norm([0.4, 1.0, 0.25])
    pictures, alphas = [], []
    for view, eye in enumerate(cameras.centers[0].double().numpy()):
        index = raster.face_index[view]
        seen = index >= 0
        position = np.einsum('nk,nkc->nc', raster.bary[view][seen], vertices[faces[index[seen]]])
        to_eye = eye - position
        if cameras.projection == 'orthographic':
            to_eye = np.broadcast_to(-cameras.extrinsics[0, view, 2, :3].numpy(), position.shape)
        to_eye = to_eye / np.linalg.norm(to_eye, axis=1, keepdims=True)
        normal = normals[index[seen]]
        facing = (normal * to_eye).sum(1)
        normal = np.where(facing[:, None] < 0, -normal, normal)
        light = 0.5 + 0.35 * np.abs(facing) + 0.35 * np.maximum(normal @ lamp, 0)
        image = np.zeros((*index.shape, 3))
        if background is not None:
            image[:] = background
        image[seen] = np.clip(colors[index[seen]] * light[:, None], 0, 255)
        blocks = (size, supersample, size, supersample, -1)
        covered = seen.reshape(blocks).mean((1, 3))
        mean = image.reshape(blocks).mean((1, 3))
        pictures.append(mean if background is not None else mean / np.maximum(covered, 1e-9))
        alphas.append(255 * covered[..., 0])
    return np.stack(pictures), np.stack(alphas)


@pytest.mark.parametrize('projection, focal', [('perspective', 20.0), ('orthographic', 6.0)])
@pytest.mark.parametrize('background', [None, (10, 200, 30)])
@pytest.mark.parametrize('supersample', [1, 2, 3])
def test_kernel_equals_the_naive_picture(projection, focal, background, supersample):
    rng = np.random.default_rng(3)
    vertices = rng.uniform(-1, 1, (40, 3))
    faces = rng.integers(0, 40, (30, 3))
    colors = rng.integers(0, 256, (30, 3)).astype(np.uint8)
    cameras = cameras_at([1.0, 2, 4], [-3.0, -1, 2], projection=projection, focal=focal)
    out = render_mesh(vertices, faces, cameras, colors, background, supersample)
    rgb, alpha = naive_picture(vertices, faces, cameras, colors, supersample, background)
    np.testing.assert_allclose(out.rgb, rgb, atol=0.51)
    np.testing.assert_allclose(out.alpha, alpha, atol=0.51)


def test_refused_colours():
    cameras, texture = cameras_at([0.0, 0, 4]), np.zeros((2, 2, 3), np.uint8)

    def render(**colors):
        render_mesh(SQUARE, FACES, cameras, **colors)

    with pytest.raises(ValueError, match='3 vertex_colors for 4 points'):
        render(vertex_colors=np.zeros((3, 3)))
    with pytest.raises(ValueError, match='textures need uv'):
        render(textures=[texture])
    with pytest.raises(ValueError, match=r'uv must be finite numbers \(4, 2\)'):
        render(textures=[texture], uv=UV[:3])
    with pytest.raises(ValueError, match='finite'):
        render(textures=[texture], uv=UV * np.nan)
    with pytest.raises(ValueError, match='below 1e'):
        render(textures=[texture], uv=UV * 1e300)
    with pytest.raises(ValueError, match=r'\(h, w, 3\) uint8'):
        render(textures=[texture[..., :2]], uv=UV)
    with pytest.raises(ValueError, match='without pixels'):
        render(textures=[texture[:0]], uv=UV)
    with pytest.raises(ValueError, match='names -1 to 1'):
        render(textures=[texture], uv=UV, face_texture=[-1, 1])
    with pytest.raises(ValueError, match='face_texture must be'):
        render(textures=[texture], uv=UV, face_texture=[0])


def test_a_view_that_sees_nothing_is_named():
    cameras = cameras_at([0.0, 0, 4], [0.0, 0, 2])
    with pytest.raises(ValueError, match='view 1: the whole mesh is behind'):
        render_mesh(SQUARE + [0, 0, 3], FACES, cameras)
