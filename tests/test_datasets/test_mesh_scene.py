"""Colours, materials, textures and scenes of mesh files."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from PIL import Image

from mm3dpretrain.datasets.mesh_io import read_cloud, read_mesh
from mm3dpretrain.datasets.mesh_scene import MAX_TEXTURE, linear_to_srgb

trimesh = pytest.importorskip('trimesh')

OBJ = """mtllib box.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl red
f 1 2 5
usemtl wood
f 1/1 2/2 3/3 4/4
"""
MTL = 'newmtl red\nKd 1 0 0.2\nnewmtl wood\nKd 0 0 0\nmap_Kd wood.png\n'


def texture(height=4, width=6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def obj(tmp_path):
    """An OBJ file with a red triangle and a square with a picture."""
    (tmp_path / 'box.obj').write_text(OBJ)
    (tmp_path / 'box.mtl').write_text(MTL)
    Image.fromarray(texture()).save(tmp_path / 'wood.png')
    return tmp_path / 'box.obj'


def test_obj_materials_and_texture(obj):
    mesh = read_mesh(obj)
    assert len(mesh.faces) == 3 and mesh.warnings == ()
    (picture,) = mesh.textures
    np.testing.assert_array_equal(picture, texture())
    plain = mesh.face_texture == -1
    assert plain.sum() == 1 and mesh.face_colors[plain].tolist() == [[255, 0, 51]]
    # black in the file, but the picture says what colour it has
    assert (mesh.face_colors[~plain] == 255).all()
    for face in np.flatnonzero(~plain):
        corners = mesh.faces[face]
        np.testing.assert_allclose(mesh.uv[corners], mesh.vertices[corners][:, :2])


@pytest.mark.parametrize('damage', ['missing', 'cut', 'no picture'])
def test_unreadable_texture_is_grey_with_one_line(obj, damage):
    picture = obj.parent / 'wood.png'
    content = picture.read_bytes()
    if damage == 'missing':
        picture.unlink()
    else:
        picture.write_bytes(content[: len(content) // 2] if damage == 'cut' else b'no picture')
    mesh = read_mesh(obj)
    (line,) = mesh.warnings
    assert 'wood.png' in line and 'grey' in line and '\n' not in line
    assert mesh.textures == () and len(mesh.faces) == 3
    assert sorted(map(tuple, mesh.face_colors.tolist())) == [
        (178, 178, 184), (178, 178, 184), (255, 0, 51),
    ]  # fmt: skip


def test_missing_materials_are_grey_with_one_line(obj):
    (obj.parent / 'box.mtl').unlink()
    mesh = read_mesh(obj)
    assert mesh.warnings == ('materials box.mtl cannot be read, grey instead',)
    assert not mesh.has_colors and len(mesh.faces) == 3


def test_obj_vertex_colours(tmp_path):
    path = tmp_path / 'a.obj'
    path.write_text('v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\nf 1 2 3\n')
    mesh = read_mesh(path)
    assert mesh.vertex_colors.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    # also where a material of another colour is named
    (tmp_path / 'a.mtl').write_text('newmtl a\nKd 0.5 0.5 0.5\n')
    path.write_text('mtllib a.mtl\nusemtl a\n' + path.read_text())
    mesh = read_mesh(path)
    assert mesh.vertex_colors.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert mesh.face_colors is None


def test_large_texture_is_shrunk(obj):
    Image.new('RGB', (2 * MAX_TEXTURE, 8), (9, 8, 7)).save(obj.parent / 'wood.png')
    (picture,) = read_mesh(obj).textures
    assert picture.shape[1] == MAX_TEXTURE and (picture == [9, 8, 7]).all()


@pytest.mark.parametrize('encoding', ['ascii', 'binary'])
def test_ply_vertex_colours(tmp_path, encoding):
    ball = trimesh.creation.icosphere(1)
    colors = np.random.default_rng(1).integers(0, 256, (len(ball.vertices), 4)).astype(np.uint8)
    ball.visual.vertex_colors = colors
    (tmp_path / 'a.ply').write_bytes(trimesh.exchange.ply.export_ply(ball, encoding=encoding))
    np.testing.assert_array_equal(read_mesh(tmp_path / 'a.ply').vertex_colors, colors[:, :3])


def test_sampled_points_have_the_colour_of_their_place(obj):
    cloud = read_cloud(obj, 400, seed=2)
    flat = cloud['points'][:, 2] == 0
    assert 200 < flat.sum() < 400
    assert (cloud['rgb'][~flat] == [255, 0, 51]).all()
    u, v = cloud['points'][flat, 0], cloud['points'][flat, 1]
    height, width = texture().shape[:2]
    inside = (abs(u * width % 1 - 0.5) < 0.05) & (abs(v * height % 1 - 0.5) < 0.05)
    column, row = (u * width).astype(int), ((1 - v) * height).astype(int)
    # close to the middle of a texel its neighbours have little weight
    difference = cloud['rgb'][flat].astype(int) - texture()[row, column]
    assert inside.sum() >= 2 and np.abs(difference[inside]).max() < 30
    assert np.abs(difference[~inside]).max() > 30


# --------------------------------------------------------------------------- glTF


def material(**kwargs):
    return trimesh.visual.material.PBRMaterial(**kwargs)


def square() -> tuple[np.ndarray, np.ndarray]:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    return vertices, np.array([[0, 1, 2], [0, 2, 3]])


@pytest.fixture
def scene(tmp_path):
    """A grey square, a coloured one twice (turned and mirrored), a textured one, a striped one."""
    vertices, faces = square()
    scene = trimesh.Scene()

    def part(visual=None):
        return trimesh.Trimesh(vertices, faces, visual=visual, process=False)

    factor = material(name='paint', baseColorFactor=[0, 128, 255, 255])
    scene.add_geometry(
        part(trimesh.visual.TextureVisuals(material=factor)), 'painted', geom_name='painted'
    )
    turn = trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])
    turn[:3, 3] = [0, 0, 5]
    scene.graph.update('turned', matrix=turn, geometry='painted')
    scene.graph.update('mirrored', matrix=np.diag([-1.0, 1, 1, 1]), geometry='painted')
    wood = material(name='wood', baseColorTexture=Image.fromarray(texture()))
    move = trimesh.transformations.translation_matrix([0, 3, 0])
    scene.add_geometry(
        part(trimesh.visual.TextureVisuals(uv=vertices[:, :2], material=wood)), 'wood',
        transform=move,
    )  # fmt: skip
    stripes = part()
    stripes.visual.vertex_colors = [[250, 0, 0, 255], [0, 250, 0, 255]] * 2
    scene.add_geometry(stripes, 'stripes', transform=move @ move)
    path = tmp_path / 'scene.glb'
    scene.export(path)
    return path


def rewrite_json(path, change) -> None:
    """Change the JSON part of a GLB file."""
    content = path.read_bytes()
    length = struct.unpack('<I', content[12:16])[0]
    tree = json.loads(content[20 : 20 + length])
    change(tree)
    text = json.dumps(tree).encode()
    text += b' ' * (-len(text) % 4)
    rest = content[20 + length :]
    size = 20 + len(text) + len(rest)
    header = struct.pack('<4sIII4s', b'glTF', 2, size, len(text), b'JSON')
    path.write_bytes(header + text + rest)


def test_glb_scene(scene):
    mesh = read_mesh(scene)
    assert len(mesh.faces) == 10 and mesh.warnings == ()
    corners = mesh.vertices[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # the colour factor is linear
    blue = np.rint(255 * linear_to_srgb(np.array([0, 128, 255]) / 255)).astype(int).tolist()
    painted = (mesh.face_colors == blue).all(1)
    assert painted.sum() == 6
    turned = painted & (corners[:, :, 2] >= 5).all(1)
    np.testing.assert_allclose(normal[turned], [[0, -1, 0]] * 2, atol=1e-6)
    mirrored = painted & (corners[:, :, 0] <= 0).all(1) & ~turned
    assert mirrored.sum() == 2
    # the outside stays the outside
    np.testing.assert_allclose(normal[mirrored], [[0, 0, 1]] * 2, atol=1e-6)
    textured = mesh.face_texture == 0
    assert textured.sum() == 2 and (corners[textured][..., 1] >= 3).all()
    np.testing.assert_array_equal(mesh.textures[0], texture())
    index = mesh.faces[textured]
    np.testing.assert_allclose(mesh.uv[index], mesh.vertices[index][..., :2] - [0, 3], atol=1e-6)
    striped = mesh.faces[(corners[..., 1] >= 6).all(1)]
    stored = mesh.vertex_colors[striped].reshape(-1, 3)
    assert {tuple(c) for c in stored.tolist()} == {(250, 0, 0), (0, 250, 0)}
    assert (mesh.vertex_colors[mesh.faces[textured]] == 255).all()


def test_glb_vertex_colours_of_other_writers_are_linear(scene):
    rewrite_json(scene, lambda tree: tree['asset'].update(generator='another'))
    mesh = read_mesh(scene)
    bright = round(255 * float(linear_to_srgb(np.array(250 / 255))))
    assert bright > 250 and [bright, 0, 0] in mesh.vertex_colors.tolist()


def test_glb_with_a_broken_texture(scene):
    def point_elsewhere(tree):
        view = tree['bufferViews'][tree['images'][0]['bufferView']]
        view['byteOffset'] = 0

    rewrite_json(scene, point_elsewhere)
    mesh = read_mesh(scene)
    assert (
        mesh.warnings == ("texture of material 'wood' cannot be read, grey instead",)
        and not mesh.textures
    )
    assert (mesh.face_colors == [178, 178, 184]).all(1).sum() == 2


def test_glb_with_wide_vertex_colours_and_no_material(tmp_path):
    vertices, faces = square()
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    mesh.visual.vertex_colors = [[250, 0, 0, 255]] * 4
    mesh.export(tmp_path / 'a.glb')

    def widen(tree):
        for primitive in tree['meshes'][0]['primitives']:
            accessor = tree['accessors'][primitive['attributes']['COLOR_0']]
            accessor.update(componentType=5123, count=2)

    rewrite_json(tmp_path / 'a.glb', widen)
    out = read_mesh(tmp_path / 'a.glb')
    assert not out.has_colors and '16 bit' in out.warnings[0]


def test_scene_of_coloured_and_bare_parts(tmp_path):
    vertices, faces = square()
    red = trimesh.Trimesh(vertices, faces, process=False)
    red.visual.face_colors = [[200, 0, 0, 255]] * 2
    bare = trimesh.Trimesh(vertices + [0, 0, 1], faces, process=False)
    trimesh.Scene([red, bare]).export(tmp_path / 'a.glb')
    mesh = read_mesh(tmp_path / 'a.glb')
    above = (mesh.vertices[mesh.faces][..., 2] == 1).all(1)
    assert (mesh.face_colors[above] == [178, 178, 184]).all()
    shown = mesh.vertex_colors[mesh.faces[~above]]
    assert (shown == [200, 0, 0]).all()


def test_srgb_curve():
    np.testing.assert_allclose(linear_to_srgb(np.array([0, 1, 0.5])), [0, 1, 0.735357], atol=1e-5)
    assert linear_to_srgb(np.array(0.002)) == pytest.approx(0.02584)
