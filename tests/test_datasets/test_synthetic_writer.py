"""The files of the embedded shapes."""

from __future__ import annotations

import importlib.util
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.shapenet55 import ShapeNet55
from mm3dpretrain.datasets.synthetic import (
    SyntheticShapes,
    primitives,
    write_synthetic_shapes,
    writer,
)
from mm3dpretrain.datasets.synthetic.views import metadata_cameras, random_metadata
from mm3dpretrain.structures.cameras import Cameras

SMALL = dict(categories=('chair', 'mug', 'car'), train_per_class=2, test_per_class=1, views=2)
SMALL.update(image_size=32, num_points=256, progress=False)


def tree(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(p.relative_to(root)): sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope='module')
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('synthetic') / 'data'
    summary = write_synthetic_shapes(root, workers=1, **SMALL)
    assert summary['shapes'] == summary['written'] == 9 and summary['seconds'] > 0
    return root


def test_layout(written):
    generator = SyntheticShapes()
    lists = {
        split: (written / f'ShapeNet55-34/ShapeNet-55/{split}.txt').read_text().split()
        for split in ('train', 'test')
    }
    assert len(lists['train']) == 6 and len(lists['test']) == 3
    assert not set(lists['train']) & set(lists['test'])
    captions = json.loads((written / 'captions.json').read_text())
    assert len(captions) == 9
    for name in lists['train'] + lists['test']:
        sample_id = name.removesuffix('.npy')
        synset, _, model_id = sample_id.partition('-')
        points = np.load(written / 'ShapeNet55-34/shapenet_pc' / name)
        assert points.shape == (256, 3) and points.dtype == np.float32
        with np.load(written / f'shapenet_attributes/{sample_id}.npz') as attributes:
            assert attributes['normal'].dtype == np.float16
            assert attributes['rgb'].shape == (256, 3) and attributes['rgb'].dtype == np.uint8
            assert attributes['part'].dtype == np.int16
        folder = written / 'ShapeNetRendering' / synset / model_id / 'rendering'
        views = (folder / 'renderings.txt').read_text().split()
        assert views == ['00.png', '01.png'] and all((folder / view).is_file() for view in views)
        assert len(captions[sample_id]) >= 3
    taxonomy = json.loads((written / 'taxonomy.json').read_text())
    assert [entry['name'].split(',')[0] for entry in taxonomy] == ['chair', 'mug', 'car']
    assert taxonomy[1]['part_offset'] == generator.part_offset('mug')
    assert json.loads((written / 'synthetic.json').read_text())['complete'] is True
    assert not list(written.rglob('*.tmp*'))


def test_loader_reads_it(written):
    pipeline = [
        dict(type='LoadPoints', attributes=('rgb', 'normal'), load_part=True),
        dict(type='LoadView', which='first'),
    ]
    options = dict(split='train', images='required', expected_count=None, pipeline=pipeline)
    dataset = ShapeNet55(str(written), **options)
    assert len(dataset) == 6
    assert dataset.metainfo['classes'] == ('chair', 'mug', 'car')
    record = dataset.get_data_info(0)
    assert len(record['img_paths']) == 2 and record['camera_path'] and record['caption']
    sample = dataset[0]
    assert sample['points'].shape == (256, 9) and sample['img'].shape == (32, 32, 3)
    offset = SyntheticShapes().part_offset('chair')
    parts = SyntheticShapes().category('chair').parts
    assert set(sample['gt_part'].tolist()) <= set(range(offset, offset + len(parts)))
    assert sample['cameras'].image_size == (32, 32)


def test_cameras_see_the_points(written):
    from PIL import Image

    for folder in written.glob('ShapeNetRendering/*/*/rendering'):
        synset, model_id = folder.parts[-3:-1]
        points = np.load(written / f'ShapeNet55-34/shapenet_pc/{synset}-{model_id}.npy')
        with np.load(folder / 'cameras.npz') as data:
            cameras = Cameras(
                torch.from_numpy(data['extrinsics'])[None],
                torch.from_numpy(data['intrinsics'])[None],
                tuple(data['image_size']),
                str(data['projection']),
            )
        metadata = np.loadtxt(folder / 'rendering_metadata.txt')
        same = metadata_cameras(metadata, 32)
        torch.testing.assert_close(same.extrinsics, cameras.extrinsics)
        torch.testing.assert_close(same.intrinsics, cameras.intrinsics)
        uv, depth = cameras.project(torch.from_numpy(points)[None])
        assert (depth > 1).all() and (uv > 0).all() and (uv < 32).all()
        for view in range(2):
            image = np.asarray(Image.open(folder / f'{view:02d}.png'))
            assert image.shape == (32, 32, 4)
            column, row = uv[0, view].long().numpy().T
            assert (image[row, column, 3] > 0).mean() > 0.95  # all but the outline
            # no pixel is opaque without a point near it
            nearest = np.zeros((32, 32), bool)
            for dr in (-2, -1, 0, 1, 2):
                for dc in (-2, -1, 0, 1, 2):
                    nearest[np.clip(row + dr, 0, 31), np.clip(column + dc, 0, 31)] = True
            assert nearest[image[..., 3] == 255].mean() > 0.9


def test_metadata_keeps_the_unit_sphere_in_the_picture():
    metadata = random_metadata(np.random.default_rng(0), 12)
    cameras = metadata_cameras(metadata, 100)
    ball = torch.nn.functional.normalize(torch.randn(1, 2000, 3), dim=-1)
    uv, _ = cameras.project(ball)
    assert (uv > -0.01).all() and (uv < 100.01).all() and np.ptp(uv.numpy()) > 85
    # azimuth 0 looks from +x; up is up
    camera = metadata_cameras(np.array([[0, 0, 0, 3.0, 35]]), 100)
    torch.testing.assert_close(camera.centers[0], torch.tensor([[3.0, 0, 0]]))
    uv, _ = camera.project(torch.tensor([[[0, 0.5, 0], [0, -0.5, 0]]]))
    assert uv[0, 0, 0, 1] < uv[0, 0, 1, 1]
    with pytest.raises(ValueError, match='in-plane'):
        metadata_cameras(np.array([[0, 0, 5.0, 3, 35]]), 100)
    with pytest.raises(ValueError, match=r'\(V, 5\)'):
        metadata_cameras(np.zeros((2, 4)), 100)


def test_off_files_stand_upright(written):
    path = written / 'ModelNet/mug/train/mug_0002.off'
    lines = path.read_text().split('\n')
    assert lines[0] == 'OFF'
    vertices, faces, _ = (int(n) for n in lines[1].split())
    stored = np.array([line.split() for line in lines[2 : 2 + vertices]], dtype=float)
    table = np.array([line.split() for line in lines[2 + vertices : -1]], dtype=int)
    shape = SyntheticShapes().generate('mug', 2)  # even numbers are training shapes
    assert table.shape == (faces, 4) and (table[:, 0] == 3).all()
    np.testing.assert_array_equal(table[:, 1:], shape.faces)
    np.testing.assert_allclose(stored[:, 2], shape.vertices[:, 1], atol=1e-6)
    mesh = primitives.Mesh(stored, table[:, 1:])
    assert primitives.signed_volume(mesh) > 0  # turned, not mirrored
    assert [p.name for p in (written / 'ModelNet/mug/test').iterdir()] == ['mug_0003.off']


def test_processes_make_no_difference(written, tmp_path):
    write_synthetic_shapes(tmp_path / 'data', workers=2, **SMALL)
    assert tree(tmp_path / 'data') == tree(written)


def test_more_shapes_leave_the_others_as_they_are(written, tmp_path):
    more = {**SMALL, 'categories': ('mug',), 'train_per_class': 3, 'layouts': ('shapenet',)}
    write_synthetic_shapes(tmp_path / 'data', workers=1, **more)
    assert not (tmp_path / 'data/ModelNet').exists()
    old, new = tree(written), tree(tmp_path / 'data')
    shared = [name for name in new if name in old and '-' in Path(name).name and '9' in name]
    clouds = [name for name in shared if 'shapenet_pc' in name]
    assert len(clouds) == 3 and all(old[name] == new[name] for name in shared)


def test_stopped_run_goes_on(written, tmp_path, monkeypatch):
    root = tmp_path / 'data'
    calls = []
    original = writer._write_views

    def fail(*args):
        calls.append(1)
        if len(calls) == 3:
            raise OSError('no space left on device')
        return original(*args)

    monkeypatch.setattr(writer, '_write_views', fail)
    with pytest.raises(OSError, match='no space'):
        write_synthetic_shapes(root, workers=1, **SMALL)
    monkeypatch.setattr(writer, '_write_views', original)
    assert not (root / 'captions.json').exists()
    # what a killed process leaves behind
    folder = next(root.glob('ShapeNetRendering/*/*/rendering'))
    (folder / 'renderings.txt').unlink()
    (folder / '.01-12345678.tmp.png').write_bytes(b'half a picture')
    meshes = root / 'ModelNet/chair/train'
    (meshes / '.chair_0001-12345678.tmp.off').write_bytes(b'OFF')
    summary = write_synthetic_shapes(root, workers=1, **SMALL)
    assert 0 < summary['written'] < 9
    assert tree(root) == tree(written)
    assert write_synthetic_shapes(root, workers=1, **SMALL)['written'] == 0


def test_other_parameters_are_refused(written, tmp_path):
    before = tree(written)
    with pytest.raises(ValueError, match='seed 0 there, 5 asked'):
        write_synthetic_shapes(written, **SMALL, seed=5)
    assert tree(written) == before
    (tmp_path / 'thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not empty'):
        write_synthetic_shapes(tmp_path, **SMALL)
    (tmp_path / 'thesis.txt').unlink()
    (tmp_path / 'synthetic.json').write_text('{"param')
    with pytest.raises(ValueError, match='damaged'):
        write_synthetic_shapes(tmp_path, **SMALL)


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(layouts=('shapenet', 'kitti')), 'kitti'),
        (dict(layouts=()), 'layouts'),
        (dict(train_per_class=-1), 'train_per_class must be at least 0, got -1'),
        (dict(train_per_class=0, test_per_class=0), 'nothing to write'),
        (dict(categories=('dragon',)), 'dragon'),
        (dict(image_size=0), 'image_size'),
        (dict(workers=0), 'workers'),
        (dict(jitter=-0.1), 'jitter'),
        (dict(rotation='roll'), 'roll'),
    ],
)
def test_bad_options_write_nothing(tmp_path, option, message):
    root = tmp_path / 'data'
    with pytest.raises(ValueError, match=message):
        write_synthetic_shapes(root, **{**SMALL, **option})
    assert not root.exists()


def test_command_line(tmp_path, capsys):
    path = Path(__file__).parents[2] / 'tools/dataset_converters/create_synthetic_shapes.py'
    spec = importlib.util.spec_from_file_location('create_synthetic_shapes', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    args = ['--out', str(tmp_path / 'data'), '--train-per-class', '1', '--test-per-class', '0']
    args += ['--categories', 'bowl', '--views', '0', '--workers', '1', '--num-points', '64']
    assert tool.main([*args, '--json', str(tmp_path / 'done.json')]) == 0
    done = json.loads((tmp_path / 'done.json').read_text())
    assert done['written'] == 1 and done['parameters']['categories'] == ['bowl']
    assert not (tmp_path / 'data/ShapeNetRendering').exists()
    assert tool.main([*args, '--seed', '9']) == 1
    assert 'seed 0 there, 9 asked' in capsys.readouterr().err
