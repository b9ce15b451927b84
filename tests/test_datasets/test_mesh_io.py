"""Mesh files: OFF with its oddities, the formats of trimesh, sampling and its cache."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.datasets.mesh_io import read_cloud, read_mesh, read_off, stable_seed


def write(path, text):
    path.write_text(text)
    return path


def test_off(tmp_path, off_cube):
    mesh = read_off(write(tmp_path / 'a.off', off_cube))
    assert mesh.vertices.shape == (8, 3) and mesh.vertices.dtype == np.float64
    assert mesh.faces.shape == (12, 3)
    assert mesh.faces[-1].tolist() == [1, 6, 5]
    assert mesh.vertices[6].tolist() == [1, 1, 1]


def test_off_header_variants(tmp_path, off_cube):
    expected = read_off(write(tmp_path / 'a.off', off_cube))
    variants = {
        # files of ModelNet40 have the counts behind the magic word
        'glued.off': off_cube.replace('OFF\n', 'OFF'),
        'same_line.off': off_cube.replace('OFF\n', 'OFF '),
        'comments.off': '# made by hand\n' + off_cube.replace('3 0 2 1', '3 0 2 1 # first'),
        'windows.off': off_cube.replace('\n', '\r\n'),
        'blank.off': off_cube.replace('8 12 0\n', '\n8 12 0\n\n'),
        'colors.off': off_cube.replace('3 0 2 1\n', '3 0 2 1 255 0 0\n'),
        'one_line.off': off_cube.replace('\n', ' '),
    }
    for name, text in variants.items():
        (tmp_path / name).write_bytes(text.encode())
        mesh = read_off(tmp_path / name)
        np.testing.assert_array_equal(mesh.vertices, expected.vertices, err_msg=name)
        np.testing.assert_array_equal(mesh.faces, expected.faces, err_msg=name)


def test_off_polygons_become_fans(tmp_path):
    square = 'OFF\n5 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1\n4 0 1 2 3\n3 0 1 4\n'
    for text in (square, square.replace('\n4 0 1 2 3\n3 0 1 4\n', '\n4 0 1 2 3 3 0 1 4')):
        mesh = read_off(write(tmp_path / 'a.off', text))
        assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]]


def test_off_colours_of_faces(tmp_path, off_cube):
    plain = read_off(write(tmp_path / 'a.off', off_cube))
    assert plain.face_colors is None
    text = off_cube.replace('3 0 2 1\n', '3 0 2 1 255 0 7\n').replace('3 0 3 2\n', '3 0 3 2 9\n')
    mesh = read_off(write(tmp_path / 'b.off', text.replace('3 4 5 6\n', '3 4 5 6 0.2 0 1 1\n')))
    np.testing.assert_array_equal(mesh.faces, plain.faces)
    # a number of a colour table is no colour, nor is nothing: light grey
    assert mesh.face_colors[:4].tolist() == [
        [255, 0, 7],
        [178, 178, 184],
        [51, 0, 255],
        [178, 178, 184],
    ]
    square = 'OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3 10 20 30\n'
    mesh = read_off(write(tmp_path / 'c.off', square))
    assert mesh.face_colors.tolist() == [[10, 20, 30]] * 2


@pytest.mark.parametrize('alpha', ['', ' 255', ' 1.0'])
def test_off_colours_of_vertices(tmp_path, alpha):
    colors = ['0.2 0 1' if '.' in alpha else '51 0 255'] * 3
    rows = [f'{xyz} {rgb}{alpha}' for xyz, rgb in zip(('0 0 0', '1 0 0', '0 1 0'), colors)]
    text = 'COFF\n3 1 0\n' + '\n'.join(rows) + '\n3 0 1 2\n'
    mesh = read_off(write(tmp_path / 'a.off', text))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert mesh.vertex_colors.tolist() == [[51, 0, 255]] * 3 and mesh.faces.tolist() == [[0, 1, 2]]
    cut = text[: text.index(rows[2]) + 3]
    with pytest.raises(SampleError, match='truncated'):
        read_off(write(tmp_path / 'b.off', cut))


def test_large_off_files_are_read_fast(tmp_path):
    """Numbers one by one would take a second for these faces."""
    rng = np.random.default_rng(0)
    vertices, faces = rng.normal(size=(50_000, 3)), rng.integers(0, 50_000, (100_000, 3))
    with open(tmp_path / 'a.off', 'w') as file:
        file.write('OFF\n50000 100000 0\n')
        np.savetxt(file, vertices, '%.5f')
        np.savetxt(file, np.column_stack([np.full(len(faces), 3), faces]), '%d')
    mesh = read_off(tmp_path / 'a.off')
    np.testing.assert_array_equal(mesh.faces, faces)
    np.testing.assert_allclose(mesh.vertices, vertices, atol=1e-5)
    tick = time.process_time()
    read_off(tmp_path / 'a.off')
    assert time.process_time() - tick < 0.5


@pytest.mark.parametrize(
    'old, new, message',
    [
        ('8 12 0', '80 12 0', 'truncated.*80 vertices'),
        ('8 12 0', '8 13 0', 'truncated.*13 faces'),
        ('8 12 0', '8 many 0', 'no vertex and face counts'),
        ('8 12 0', '0 12 0', '0 vertices'),
        ('8 12 0', '', 'counts|vertices'),
        ('OFF', 'PLY', 'not an OFF file'),
        ('1 1 -1', '1 one -1', 'not numeric'),
        ('1 1 -1', '1 nan -1', 'NaN'),
        ('1 1 -1', '1 inf -1', 'infinite'),
        ('3 0 2 1', '3 0 2 8', r'face 0 has the vertex indices \[0, 2, 8\]'),
        ('3 0 2 1', '3 0 2 -1', 'face 0 has'),
        ('3 0 2 1', '3 0 2 x', 'not numeric'),
        ('3 0 2 1', '0', 'a face of 0 corners|truncated'),
        ('3 1 6 5\n', '', 'truncated'),
        ('3 1 6 5\n', '3 1', 'truncated'),
    ],
)
def test_broken_off(tmp_path, off_cube, old, new, message):
    path = write(tmp_path / 'broken.off', off_cube.replace(old, new, 1))
    with pytest.raises(SampleError, match=f'broken.off.*({message})'):
        read_off(path)


def test_off_cut_anywhere_is_an_error_or_complete(tmp_path, off_cube):
    """A file cut in the middle never gives a mesh with fewer faces than announced."""
    for size in range(len(off_cube) - 2):
        path = write(tmp_path / 'cut.off', off_cube[:size])
        try:
            mesh = read_off(path)
        except SampleError:
            continue
        pytest.fail(f'cut at {size}: {len(mesh.faces)} faces')


def test_missing_and_unknown_files(tmp_path):
    for name in ('missing.off', 'missing.obj'):
        with pytest.raises(SampleError, match=name):
            read_mesh(tmp_path / name)
    with pytest.raises(SampleError, match="unknown suffix '.step'"):
        read_mesh(write(tmp_path / 'part.step', ''))
    with pytest.raises(SampleError, match="unknown suffix '.png'"):
        read_cloud(write(tmp_path / 'a.png', ''))


@pytest.mark.parametrize('suffix', ['.obj', '.ply', '.stl', '.glb'])
def test_formats_of_trimesh(tmp_path, suffix):
    trimesh = pytest.importorskip('trimesh')
    box = trimesh.creation.box(extents=(2, 4, 6))
    path = tmp_path / f'box{suffix}'
    box.export(path)
    mesh = read_mesh(path)
    assert len(mesh.faces) == 12
    np.testing.assert_allclose(mesh.vertices.max(0), [1, 2, 3], atol=1e-6)
    cloud = read_cloud(path, num_points=500, seed=1)
    assert cloud['points'].shape == (500, 3) and cloud['normal'].shape == (500, 3)
    # every point lies on a side of the box
    np.testing.assert_allclose(np.abs(cloud['points'] / [1, 2, 3]).max(1), 1, atol=1e-5)


def test_ply_face_colors_and_bare_clouds(tmp_path):
    trimesh = pytest.importorskip('trimesh')
    box = trimesh.creation.box()
    box.visual.face_colors = np.tile(np.uint8([200, 10, 30, 255]), (12, 1))
    box.export(tmp_path / 'colored.ply')
    cloud = read_cloud(tmp_path / 'colored.ply', num_points=50)
    assert cloud['rgb'].dtype == np.uint8
    assert (cloud['rgb'] == [200, 10, 30]).all()
    points = np.random.default_rng(0).normal(size=(40, 3))
    colors = np.tile(np.uint8([1, 2, 3, 255]), (40, 1))
    trimesh.PointCloud(points, colors).export(tmp_path / 'cloud.ply')
    cloud = read_cloud(tmp_path / 'cloud.ply')
    np.testing.assert_allclose(cloud['points'], points, atol=1e-6)
    assert (cloud['rgb'] == [1, 2, 3]).all() and 'normal' not in cloud


def test_broken_ply_and_obj(tmp_path):
    trimesh = pytest.importorskip('trimesh')
    trimesh.creation.icosphere().export(tmp_path / 'ball.ply')
    content = (tmp_path / 'ball.ply').read_bytes()
    (tmp_path / 'cut.ply').write_bytes(content[: len(content) // 2])
    (tmp_path / 'text.ply').write_text('no mesh')
    (tmp_path / 'empty.obj').write_text('# nothing\n')
    (tmp_path / 'index.obj').write_text('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n')
    (tmp_path / 'words.obj').write_text('v 0 zero 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n')
    (tmp_path / 'nan.obj').write_text('v 0 nan 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n')
    names = ('cut.ply', 'text.ply', 'empty.obj', 'index.obj', 'words.obj', 'nan.obj')
    for name in names:
        with pytest.raises(SampleError, match=name):
            read_mesh(tmp_path / name)


def test_mesh_without_area(tmp_path):
    text = 'OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n'
    with pytest.raises(SampleError, match='flat.off.*area'):
        read_cloud(write(tmp_path / 'flat.off', text))


def test_sampling_is_fixed_by_the_seed(tmp_path, off_cube):
    path = write(tmp_path / 'a.off', off_cube)
    first, again = read_cloud(path, 100, seed=3), read_cloud(path, 100, seed=3)
    other = read_cloud(path, 100, seed=4)
    np.testing.assert_array_equal(first['points'], again['points'])
    assert not np.array_equal(first['points'], other['points'])
    assert stable_seed('chair_0001') == 2980808356


def test_cache(tmp_path, off_cube):
    path, cache = write(tmp_path / 'a.off', off_cube), tmp_path / 'cache'
    first = read_cloud(path, 100, cache_dir=cache)
    (file,) = cache.rglob('*.npz')
    np.testing.assert_array_equal(read_cloud(path, 100, cache_dir=cache)['points'], first['points'])
    # it is the cache that is read: without the numbers of the mesh the answer stays the same
    os.utime(path, ns=(1, 1))
    time = os.stat(path).st_mtime_ns
    read_cloud(path, 100, cache_dir=cache)
    path.write_text(off_cube.replace('OFF', 'BAD'))
    os.utime(path, ns=(time, time))
    np.testing.assert_array_equal(read_cloud(path, 100, cache_dir=cache)['points'], first['points'])
    # a changed file is read again, and so is a broken cache file
    path.write_text(off_cube.replace('1 1 1', '1 1 9'))
    assert read_cloud(path, 100, cache_dir=cache)['points'].max() > 1
    for file in cache.rglob('*.npz'):
        file.write_bytes(b'broken')
    assert read_cloud(path, 100, cache_dir=cache)['points'].max() > 1
    assert not list(cache.rglob('*.tmp*'))


def test_cache_that_cannot_be_written_costs_only_speed(tmp_path, off_cube):
    path = write(tmp_path / 'a.off', off_cube)
    blocker = write(tmp_path / 'file', '')
    assert len(read_cloud(path, 100, cache_dir=blocker / 'cache')['points']) == 100
