"""Meshes become pictures, depth, cameras and coloured points."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mm3dpretrain.datasets import rendered_views
from mm3dpretrain.datasets.mesh_io import Mesh, read_mesh
from mm3dpretrain.datasets.rendered_views import prepare_mesh, render_folder
from mm3dpretrain.datasets.transforms.loading import read_cameras
from mm3dpretrain.datasets.view_settings import Settings
from mm3dpretrain.registry import DATASETS
from mm3dpretrain.structures.cameras import Cameras

SMALL = dict(image_size=(24, 24), num_points=300, supersample=1)
ORBIT = dict(type='OrbitViews', num_views=4, elevation=[10, 40], distance=2.8)


def write_off(path: Path, vertices, faces) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ['OFF', f'{len(vertices)} {len(faces)} 0']
    lines += [' '.join(repr(float(x)) for x in v) for v in vertices]
    lines += [f'{len(f)} ' + ' '.join(map(str, f)) for f in faces]
    path.write_text('\n'.join(lines) + '\n')
    return path


def chair(scale=1.0, shift=(0.0, 0.0, 0.0)) -> tuple[np.ndarray, list]:
    """A seat with a back: x right, y up, z towards the viewer; the back is behind."""
    vertices, faces = [], []
    for low, high in (((-1, -0.2, -1), (1, 0.2, 1)), ((-1, 0.2, -1), (1, 2, -0.8))):
        start = len(vertices)
        corners = np.array(np.meshgrid([0, 1], [0, 1], [0, 1], indexing='ij')).reshape(3, -1).T
        vertices += (np.array(low) + corners * (np.array(high) - low)).tolist()
        for quad in (
            (0, 1, 3, 2),
            (4, 6, 7, 5),
            (0, 4, 5, 1),
            (2, 3, 7, 6),
            (0, 2, 6, 4),
            (1, 5, 7, 3),
        ):
            faces.append([start + q for q in quad])
    return np.array(vertices) * scale + shift, faces


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / 'in'
    for name, split, scale in (('a', 'train', 1), ('b', 'train', 40), ('c', 'test', 0.01)):
        write_off(root / 'chair' / split / f'{name}.off', *chair(scale))
    write_off(root / 'bed' / 'train' / 'd.off', *chair(3, (100, 0, 0)))
    return root


def run(folder, out, workers=1, **kwargs):
    settings = Settings(views=kwargs.pop('views', ORBIT), **{**SMALL, **kwargs})
    return render_folder(folder, out, settings, workers=workers, progress=False)


def views_of(out: Path, model: str) -> Path:
    synset, _, name = model.partition('-')
    return out / 'ShapeNetRendering' / synset / name / 'rendering'


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


# --------------------------------------------------------------------------- placing


@pytest.mark.parametrize('scale', [1e-6, 1.0, 1e6])
@pytest.mark.parametrize('shift', [0.0, 1e3])
def test_unit_sphere_and_back(scale, shift):
    vertices, faces = chair(scale, (shift * scale, 0, 0))
    mesh = Mesh(vertices, np.array([[f[0], f[1], f[2]] for f in faces]))
    placed, placement, skipped = prepare_mesh(mesh, 'y', 'unit-sphere')
    radius = np.linalg.norm(placed.vertices, axis=1)
    assert radius.max() == pytest.approx(1) and skipped == 0
    back = placed.vertices * placement.to_input[0] + placement.to_input[1]
    used = np.unique(mesh.faces)
    np.testing.assert_allclose(back, vertices[used], rtol=1e-9, atol=1e-12 * scale)


def test_unit_cube_none_and_the_up_axis():
    vertices, faces = chair(5.0, (1, 2, 3))
    mesh = Mesh(vertices, np.array([f[:3] for f in faces] + [f[1:] for f in faces]))
    for normalize, expected in (('unit-cube', 1.0), ('none', 11.0)):
        placed, placement, _ = prepare_mesh(mesh, 'y', normalize)
        scale, center = placement.to_output
        out = placed.vertices * scale + center
        assert np.ptp(out, axis=0).max() == pytest.approx(expected)
        again = out * placement.to_input[0] + placement.to_input[1]
        np.testing.assert_allclose(again.min(0), vertices.min(0))
    turned = Mesh(np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1), mesh.faces)
    placed_z, _, _ = prepare_mesh(turned, 'z', 'unit-sphere')
    placed_y, _, _ = prepare_mesh(mesh, 'y', 'unit-sphere')
    np.testing.assert_allclose(placed_z.vertices, placed_y.vertices, atol=1e-12)


def test_faces_without_area_and_stray_vertices_do_not_count():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1e9, 0, 0], [7, 7, 7.0]])
    faces = np.array([[0, 1, 2], [0, 3, 3], [1, 1, 1], [0, 1, 3]])
    colors = np.arange(12, dtype=np.uint8).reshape(4, 3)
    placed, _, skipped = prepare_mesh(Mesh(vertices, faces, colors, None), 'y', 'unit-sphere')
    assert skipped == 3 and len(placed.vertices) == 3 and placed.faces.tolist() == [[0, 1, 2]]
    assert placed.face_colors.tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match='none of the 1 faces has an area'):
        prepare_mesh(Mesh(vertices, faces[1:2]), 'y', 'none')
    with pytest.raises(ValueError, match='no faces, only 5 vertices'):
        prepare_mesh(Mesh(vertices, faces[:0]), 'y', 'none')


# --------------------------------------------------------------------------- the files


@pytest.mark.parametrize('normalize', ['unit-sphere', 'unit-cube', 'none'])
def test_points_depth_cameras_and_pictures_agree(folder, tmp_path, normalize):
    """Depth pictures, unprojected, lie on the mesh; the points lie on it too, as in the input."""
    run(folder, tmp_path / 'out', normalize=normalize, image_size=(64, 48))
    manifest = json.loads((tmp_path / 'out/render_views.json').read_text())
    for model, entry in manifest['models'].items():
        original = read_mesh(folder / entry['source'])
        points = np.load(tmp_path / f'out/ShapeNet55-34/shapenet_pc/{model}.npy')
        assert points.shape == (300, 3) and points.dtype == np.float32
        attributes = np.load(tmp_path / f'out/shapenet_attributes/{model}.npz')
        assert attributes['normal'].shape == (300, 3) and attributes['rgb'].dtype == np.uint8

        size = np.ptp(original.vertices, axis=0).max()
        low, high = original.vertices.min(0), original.vertices.max(0)
        views = views_of(tmp_path / 'out', model)
        cameras = read_cameras(views / 'cameras.npz')
        depth_scale = float(np.load(views / 'cameras.npz')['depth_scale'])
        assert depth_scale == entry['depth_scale']
        depth = np.stack([np.asarray(Image.open(views / f'{v:02d}_depth.png')) for v in range(4)])
        alpha = np.stack([np.asarray(Image.open(views / f'{v:02d}.png'))[..., 3] for v in range(4)])
        np.testing.assert_array_equal(depth > 0, alpha == 255)
        assert depth.max() > 6000  # 16 bit are used
        seen = cameras.unproject(torch.from_numpy(depth * depth_scale)[None].float())
        seen = seen[0][torch.from_numpy(depth > 0)].numpy()
        for cloud, name in ((points, 'points'), (seen, 'depth')):
            back = cloud.astype(np.float64) * entry['scale'] + entry['center']
            assert (back > low - 0.01 * size).all() and (back < high + 0.01 * size).all(), name
            # on one of the planes of the boxes
            planes = np.unique(original.vertices.round(9))
            distance = np.abs(back[:, :, None] - planes).min(-1).min(1)
            assert distance.max() < 0.01 * size, name


def test_orientation_of_the_pictures(folder, tmp_path):
    """The back of the chair is above, and hides the seat from behind only."""
    views = dict(type='OrbitViews', num_views=4, elevation=30)
    run(folder, tmp_path / 'out', views=views, image_size=(48, 48))
    folder_out = views_of(tmp_path / 'out', 'chair-a')
    # views from +z, +x, -z, -x
    masks = [np.asarray(Image.open(folder_out / f'{v:02d}.png'))[..., 3] > 0 for v in range(4)]
    side = masks[1]
    columns = np.flatnonzero(side.any(0))
    tops = np.array([np.flatnonzero(side[:, c])[0] for c in columns])
    # seen from +x the back (-z) is on the right
    assert columns[tops.argmin()] > columns.mean() and tops[0] > tops[-1] + 8
    assert tops[0] > 20


def test_up_axis_of_the_input(folder, tmp_path):
    for file in folder.rglob('*.off'):
        mesh = read_mesh(file)
        x, y, z = mesh.vertices.T
        write_off(tmp_path / 'z' / file.relative_to(folder), np.stack([x, -z, y], 1), mesh.faces)
        write_off(tmp_path / 'y' / file.relative_to(folder), mesh.vertices, mesh.faces)
    run(tmp_path / 'y', tmp_path / 'from_y')
    run(tmp_path / 'z', tmp_path / 'from_z', up_axis='z')
    for path in (tmp_path / 'from_y').rglob('0*.png'):
        other = tmp_path / 'from_z' / path.relative_to(tmp_path / 'from_y')
        difference = np.asarray(Image.open(path)).astype(int) - np.asarray(Image.open(other))
        # rounding moves a silhouette by a sample at most
        assert (np.abs(difference) > 1).mean() < 0.01


def test_the_loader_reads_it(folder, tmp_path):
    run(folder, tmp_path / 'out')
    pipeline = [
        dict(type='LoadPoints', attributes=('rgb', 'normal')),
        dict(type='LoadView', num_views=2),
        dict(type='SamplePoints', num_points=128),
        dict(type='PackTriplets'),
    ]
    config = dict(type='RenderedShapes', data_root=str(tmp_path / 'out'), pipeline=pipeline)
    train, test = DATASETS.build(config), DATASETS.build({**config, 'split': 'test'})
    assert (len(train), len(test)) == (3, 1)
    assert train.metainfo['classes'] == test.metainfo['classes'] == ('bed', 'chair')
    assert train.metainfo['gravity_axis'] == 'y'
    assert train.metainfo['normalization'] == 'unit_sphere'
    item = train[0]
    assert item['inputs']['points'].shape == (128, 9)
    assert item['inputs']['img'].shape == (2, 3, 24, 24)
    assert sorted(train.gt_labels.tolist()) == [0, 1, 1]
    whole = DATASETS.build({**config, 'whole': True})
    assert len(whole) == 4


def test_the_loader_refuses_what_is_not_complete(folder, tmp_path):
    config = dict(type='RenderedShapes', data_root=str(tmp_path / 'out'))
    with pytest.raises(FileNotFoundError, match='render_views.py'):
        DATASETS.build(config)
    run(folder, tmp_path / 'out', layouts=('rgbd',))
    with pytest.raises(ValueError, match='--layout shapenet is needed'):
        DATASETS.build(config)
    manifest = tmp_path / 'out/render_views.json'
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, 'complete': False}))
    with pytest.raises(ValueError, match='not complete'):
        DATASETS.build(config)
    manifest.write_text('{')
    with pytest.raises(ValueError, match='damaged'):
        DATASETS.build(config)


def test_frames_of_a_scan(folder, tmp_path):
    run(folder, tmp_path / 'out', layouts=('rgbd',), background=(10, 20, 30))
    scene = tmp_path / 'out/rgbd/chair-b'
    assert (tmp_path / 'out/rgbd/train.txt').read_text().split() == ['bed-d', 'chair-a', 'chair-b']
    assert not (tmp_path / 'out/ShapeNetRendering').exists()
    matrix = torch.from_numpy(np.loadtxt(scene / 'intrinsic/intrinsic_depth.txt'))[:3, :3]
    with np.load(scene / 'points.npz') as arrays:
        cloud = {key: arrays[key] for key in arrays.files}
    assert cloud['xyz'].shape == cloud['normal'].shape == cloud['rgb'].shape == (300, 3)
    for frame in range(4):
        pose = torch.from_numpy(np.loadtxt(scene / f'pose/{frame:06d}.txt'))
        depth = np.asarray(Image.open(scene / f'depth/{frame:06d}.png'))
        color = np.asarray(Image.open(scene / f'color/{frame:06d}.png'))
        assert (color[depth == 0] == [10, 20, 30]).all(1).mean() > 0.95
        cameras = Cameras(torch.inverse(pose)[None, None], matrix[None, None], (24, 24))
        points = cameras.unproject(torch.from_numpy(depth / 1000.0)[None, None])[0, 0]
        points = points[torch.from_numpy(depth > 0)]
        nearest = torch.cdist(points, torch.from_numpy(cloud['xyz']).double()).amin(1)
        assert len(points) > 30 and nearest.max() < 0.25 and nearest.mean() < 0.08


def test_frames_do_not_hold_every_depth(folder, tmp_path):
    summary = run(folder, tmp_path / 'out', layouts=('rgbd', 'shapenet'), normalize='none')
    failed = dict(summary['failed'])
    assert set(failed) == {'chair/train/b.off', 'chair/test/c.off'}
    assert 'another normalisation' in failed['chair/train/b.off']


# --------------------------------------------------------------------------- running


def test_same_files_for_any_number_of_workers(folder, tmp_path):
    for workers, name in ((1, 'one'), (3, 'three')):
        views = dict(type='RandomViews', num_views=2, distance=2.8)
        run(folder, tmp_path / name, workers, views=views, layouts=('shapenet', 'rgbd'), seed=5)
    one, three = contents(tmp_path / 'one'), contents(tmp_path / 'three')
    assert one == three and len(one) > 60
    other = tmp_path / 'other'
    views = dict(type='RandomViews', num_views=2, distance=2.8)
    run(folder, other, views=views, layouts=('shapenet', 'rgbd'), seed=6)
    name = 'ShapeNet55-34/shapenet_pc/chair-a.npy'
    assert contents(other)[name] != one[name]


def test_a_stopped_run_goes_on(folder, tmp_path, monkeypatch):
    out, whole = tmp_path / 'out', tmp_path / 'whole'
    run(folder, whole)
    jobs = rendered_views.run_jobs

    def stop(*args):
        outcomes = jobs(*args)
        yield next(outcomes)
        yield next(outcomes)
        outcomes.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(rendered_views, 'run_jobs', stop)
    with pytest.raises(KeyboardInterrupt):
        run(folder, out)
    monkeypatch.undo()
    assert json.loads((out / 'render_views.json').read_text())['complete'] is False
    half = views_of(out, 'chair-b')
    half.mkdir(parents=True, exist_ok=True)  # as a kill in the midst of a model leaves it
    (half / '00.png').write_bytes(b'half')
    (out / '.staging' / 'chair-b').mkdir(parents=True, exist_ok=True)
    summary = run(folder, out)
    assert summary['written'] == 2 and not summary['failed']
    assert contents(out) == contents(whole)
    assert run(folder, out)['written'] == 0


def test_what_has_changed_is_done_again(folder, tmp_path):
    out = tmp_path / 'out'
    run(folder, out)
    write_off(folder / 'chair/train/a.off', *chair(2, (0, 0, 9)))
    write_off(folder / 'chair/train/new.off', *chair())
    (folder / 'chair/test/c.off').unlink()
    summary = run(folder, out)
    assert summary['written'] == 2 and summary['models'] == 4
    shutil.rmtree(out / 'ShapeNet55-34' / 'ShapeNet-55')
    run(folder, out)
    lists = out / 'ShapeNet55-34' / 'ShapeNet-55'
    assert (lists / 'train.txt').read_text().split() == [
        'bed-d.npy', 'chair-a.npy', 'chair-b.npy', 'chair-new.npy',
    ]  # fmt: skip


def test_other_settings_are_refused(folder, tmp_path):
    out = tmp_path / 'out'
    run(folder, out)
    with pytest.raises(ValueError, match='seed 0 there, 1 asked'):
        run(folder, out, seed=1)
    with pytest.raises(ValueError, match='num_views.: 4.*num_views.: 2'):
        run(folder, out, views={**ORBIT, 'num_views': 2})
    (out / 'render_views.json').write_text('{')
    with pytest.raises(ValueError, match='damaged'):
        run(folder, out)
    (out / 'render_views.json').unlink()
    with pytest.raises(FileExistsError, match='not empty'):
        run(folder, out)
    with pytest.raises(ValueError, match='lies in the input'):
        run(folder, folder / 'out')


def bad_files(root: Path) -> dict[str, str]:
    """Files that cannot be rendered, and what their line must say."""
    vertices, faces = chair()
    nan = vertices.copy()
    nan[3, 1] = np.nan
    text = write_off(root / 'bad/good.off', vertices, faces).read_text()
    write_off(root / 'bad/nan.off', nan, faces)
    write_off(root / 'bad/beyond.off', vertices, [*faces, [0, 1, 99]])
    write_off(root / 'bad/cloud.off', vertices, [])
    write_off(root / 'bad/flat.off', vertices, [[0, 0, 1], [2, 2, 2]])
    (root / 'bad/empty.off').write_text('')
    (root / 'bad/cut.off').write_text(text[: len(text) // 2])
    (root / 'bad/words.obj').write_text('no mesh at all\n')
    (root / 'bad/empty.glb').write_bytes(b'')
    (root / 'bad/cut.stl').write_bytes(b'\0' * 50)
    (root / 'bad/empty.ply').write_bytes(b'')
    return {
        'nan.off': 'NaN', 'beyond.off': '[0, 1, 99]', 'cloud.off': 'no faces',
        'flat.off': 'none of the 2 faces has an area', 'empty.off': 'not an OFF file',
        'cut.off': 'truncated', 'words.obj': '', 'empty.glb': '', 'cut.stl': '', 'empty.ply': '',
    }  # fmt: skip


def test_bad_files_are_named_and_the_rest_goes_on(tmp_path):
    pytest.importorskip('trimesh')
    expected = bad_files(tmp_path / 'in')
    vertices, faces = chair()
    # an edge of three faces, a face twice, faces without area among others: not refused
    odd = [*faces, faces[0], [0, 1, 8], [5, 5, 5]]
    write_off(tmp_path / 'in/bad/odd.off', vertices, odd)
    for scale in (1e-6, 1e6):
        write_off(tmp_path / f'in/bad/scale{scale:g}.off', *chair(scale))
    summary = run(tmp_path / 'in', tmp_path / 'out', workers=2)
    failed = {Path(file).name: text for file, text in summary['failed']}
    assert set(failed) == set(expected)
    for name, text in expected.items():
        assert text in failed[name] and '\n' not in failed[name] and len(failed[name]) > 5
    lines = (tmp_path / 'out/failed.txt').read_text().splitlines()
    assert len(lines) == len(expected) and all(line.startswith('bad/') for line in lines)
    listed = (tmp_path / 'out/ShapeNet55-34/ShapeNet-55/train.txt').read_text().split()
    assert len(listed) == 4
    # mended files are done by the next run, and the report goes
    for name in expected:
        os.remove(tmp_path / 'in/bad' / name)
    again = run(tmp_path / 'in', tmp_path / 'out')
    assert not again['failed'] and again['written'] == 0
    assert not (tmp_path / 'out/failed.txt').exists()


def test_scale_does_not_change_the_pictures(tmp_path):
    for scale in (1e-6, 1.0, 1e6):
        write_off(tmp_path / f'in/c/s{scale:g}.off', *chair(scale))
    run(tmp_path / 'in', tmp_path / 'out')
    pictures = [
        np.asarray(Image.open(views_of(tmp_path / 'out', f'c-s{scale:g}') / '01.png')).astype(int)
        for scale in (1e-6, 1.0, 1e6)
    ]
    for picture in pictures[1:]:
        assert (np.abs(picture - pictures[0]) > 1).mean() < 0.01


def test_a_warning_is_no_failure(tmp_path):
    pytest.importorskip('trimesh')
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/a.obj').write_text(
        'mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n'
    )
    (tmp_path / 'in/a.mtl').write_text('newmtl m\nmap_Kd nothing.png\n')
    summary = run(tmp_path / 'in', tmp_path / 'out')
    assert not summary['failed']
    ((file, text),) = summary['warnings']
    assert file == 'a.obj' and 'nothing.png' in text
    assert (tmp_path / 'out/warnings.txt').read_text() == f'a.obj: {text}\n'
    rgb = np.load(tmp_path / 'out/shapenet_attributes/shape-a.npz')['rgb']
    assert (rgb == [178, 178, 184]).all()
