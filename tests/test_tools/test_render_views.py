"""The command that makes a training set of a folder of meshes, up to a step of DR-Point on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mm3dpretrain.datasets.mesh_io import read_mesh
from mm3dpretrain.datasets.synthetic.writer import write_synthetic_shapes
from tools import train as train_tool
from tools.dataset_converters import render_views

ROOT = Path(__file__).resolve().parents[2]
METHOD = ROOT / 'configs/drpoint/drpoint_pointtransformer-tiny_1xb32-20e_synthetic.py'
FAST = ['--image-size', '32', '--num-points', '600', '--supersample', '1', '--workers', '1']


@pytest.fixture(scope='module')
def modelnet(tmp_path_factory) -> Path:
    """A folder like ModelNet: OFF files, +z up, in classes and splits."""
    out = tmp_path_factory.mktemp('meshes')
    write_synthetic_shapes(
        out, 4, 1, ['chair', 'mug'], layouts=['modelnet'], workers=1, progress=False
    )
    return out / 'ModelNet'


@pytest.fixture(scope='module')
def rendered(modelnet, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('rendered') / 'views'
    arguments = [str(modelnet), str(out), '--up-axis', 'z', '--num-views', '4', *FAST]
    assert render_views.main(arguments) == 0
    return out


def triangle(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n')


def test_a_step_of_dr_point(rendered, tmp_path):
    """A ModelNet-like folder becomes a tri-modal training set without Blender or a display."""
    options = [
        '--cfg-options',
        'train_dataloader.dataset.type=RenderedShapes',
        f'train_dataloader.dataset.data_root={rendered}',
        'train_dataloader.batch_size=4',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'train_cfg.max_epochs=1',
        'default_hooks.checkpoint.interval=1',
        'log_level=ERROR',
    ]
    runner = train_tool.main(
        [
            *(str(METHOD), '--work-dir', str(tmp_path), *options),
            'model.tokenizer.init_cfg=None',
            'train_dataloader.dataset.pipeline.5.size=32',
            'model.views.image_size=32',
            'default_hooks.logger.interval=1',
        ]
    )
    assert runner.iter == 2 and len(runner.train_dataloader.dataset) == 8
    (path,) = tmp_path.glob('*/vis_data/scalars.json')
    losses = [json.loads(line) for line in path.read_text().splitlines()]
    for name in ('loss', 'loss_cd', 'loss_token'):
        values = [entry[name] for entry in losses if name in entry]
        assert len(values) == 2 and np.isfinite(values).all(), name


def test_upright_and_in_both_splits(modelnet, rendered):
    manifest = json.loads((rendered / 'render_views.json').read_text())
    assert manifest['splits'] == {'test': 2, 'train': 8}
    assert manifest['settings']['up_axis'] == 'z' and manifest['gravity_axis'] == 'y'
    for model, entry in manifest['models'].items():
        points = np.load(rendered / f'ShapeNet55-34/shapenet_pc/{model}.npy')
        x, y, z = (points * entry['scale'] + entry['center']).T
        vertices = read_mesh(modelnet / entry['source']).vertices
        # what is up in the file, its third axis, is the second one of the set
        for values, axis in ((x, 0), (-z, 1), (y, 2)):
            low, high = vertices[:, axis].min(), vertices[:, axis].max()
            assert values.min() == pytest.approx(low, abs=0.05)
            assert values.max() == pytest.approx(high, abs=0.05)


def test_messages_and_exit_codes(tmp_path, capsys):
    triangle(tmp_path / 'in/a/good.off')
    (tmp_path / 'in/a/bad.off').write_text('OFF\n3 1 0\n0 0 0\n1 nan 0\n0 1 0\n3 0 1 2\n')
    command = [str(tmp_path / 'in'), str(tmp_path / 'out'), *FAST, '--json', str(tmp_path / 's')]
    assert render_views.main(command) == 1
    out, err = capsys.readouterr()
    assert '1 of 2 models' in out and '1 failed' in out
    (line,) = [line for line in err.splitlines() if 'failed' in line]
    assert 'a/bad.off' in line and 'NaN' in line
    assert json.loads((tmp_path / 's').read_text())['written'] == 1
    # only what failed is tried again
    assert render_views.main(command) == 1
    assert '0 written' in capsys.readouterr().out
    (tmp_path / 'in/a/bad.off').unlink()
    assert render_views.main(command) == 0


@pytest.mark.parametrize(
    'more, message',
    [
        (['--views', 'spiral'], "no view set 'spiral'"),
        (['--views', 'cube-corner', '--num-views', '3'], 'num_views'),
        (['--views', 'spare-net'], "no view set 'spare-net'"),
        (['--scale', '2'], 'scale=2.0 means nothing'),
        (['--views', 'cube-corner', '--layout', 'both'], 'perspective'),
        (['--view-args', 'fov'], 'NAME=VALUE'),
        (['--image-size', '1', '2', '3'], '--image-size'),
        (['--workers', '0'], 'workers must be at least 1'),
        (['--timeout', '0'], 'timeout'),
        (['--test-fraction', '2'], 'test_fraction'),
    ],
)
def test_impossible_arguments(tmp_path, capsys, more, message):
    triangle(tmp_path / 'in/a.off')
    assert render_views.main([str(tmp_path / 'in'), str(tmp_path / 'out'), *FAST, *more]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('error: ') and message in error


def test_places_that_cannot_be_written(tmp_path, capsys):
    triangle(tmp_path / 'in/a.off')
    (tmp_path / 'file').write_text('')
    source, out = str(tmp_path / 'in'), str(tmp_path / 'out')
    assert render_views.main([source, out, *FAST, '--json', str(tmp_path / 'file/x.json')]) == 1
    output = capsys.readouterr()
    assert '1 of 1 models' in output.out and 'x.json cannot be written' in output.err
    assert render_views.main([source, str(tmp_path / 'file'), *FAST]) == 1
    assert 'file is no folder' in capsys.readouterr().err


def test_missing_and_empty_folders(tmp_path, capsys):
    assert render_views.main([str(tmp_path / 'none'), str(tmp_path / 'out')]) == 1
    assert 'is no folder' in capsys.readouterr().err
    (tmp_path / 'in').mkdir()
    assert render_views.main([str(tmp_path / 'in'), str(tmp_path / 'out')]) == 1
    assert 'no .off' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_other_view_sets(tmp_path):
    triangle(tmp_path / 'in/a.off')
    for name, more, count in (
        ('cube-corner', [], 8),
        ('random', ['--elevation', '0', '30', '--num-views', '3'], 3),
        ('orbit', ['--elevation', '20', '--view-args', 'start_azimuth=15'], 12),
        ('cap', ['--view-args', 'half_angle=20', 'direction=[0, 1, 1]'], 12),
        ('Icosahedron_views', [], 12),
    ):
        out = tmp_path / name
        assert (
            render_views.main([str(tmp_path / 'in'), str(out), *FAST, '--views', name, *more]) == 0
        )
        pictures = out / 'ShapeNetRendering/shape/a/rendering'
        assert len((pictures / 'renderings.txt').read_text().split()) == count


def test_corners_of_a_cube_as_frames(tmp_path):
    """Perspective corners stand so far away that nothing is cut off."""
    triangle(tmp_path / 'in/a.off')
    more = ['--views', 'cube-corner', '--projection', 'perspective', '--layout', 'rgbd']
    assert render_views.main([str(tmp_path / 'in'), str(tmp_path / 'out'), *FAST, *more]) == 0
    frames = sorted((tmp_path / 'out/rgbd/shape-a/depth').glob('*.png'))
    assert len(frames) == 8
    for frame in frames:
        depth = np.asarray(Image.open(frame))
        assert depth.any() and not (depth[[0, -1]].any() or depth[:, [0, -1]].any())


def test_help(capsys):
    with pytest.raises(SystemExit) as ending:
        render_views.main(['--help'])
    text = capsys.readouterr().out
    assert ending.value.code == 0
    for word in ('--up-axis', '--layout', 'OrbitViews', 'failed.txt', 'Exit code'):
        assert word in text


def test_a_killed_run_goes_on(modelnet, tmp_path):
    out = tmp_path / 'out'
    arguments = [str(modelnet), str(out), '--up-axis', 'z', '--num-points', '500', '--workers', '2']
    script = ROOT / 'tools/dataset_converters/render_views.py'
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob('models/*/*.json')):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in out.glob('models/*/*.json')}
    assert 0 < len(finished) < 10
    assert render_views.main([*arguments[:-1], '1']) == 0
    assert len(list(out.glob('models/*/*.json'))) == 10
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())
    assert not list(out.rglob('.*'))
