"""Pictures of a data set."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def browse():
    path = ROOT / 'tools' / 'visualization' / 'browse_dataset.py'
    spec = importlib.util.spec_from_file_location('browse_dataset', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def config(tmp_path):
    """A folder of three clouds, one of them broken, with views."""
    root, views = tmp_path / 'mine', tmp_path / 'views'
    rng = np.random.default_rng(0)
    for name in ('a', 'b', 'c'):
        (root / 'class').mkdir(parents=True, exist_ok=True)
        np.save(root / 'class' / f'{name}.npy', rng.uniform(-0.5, 0.5, (200, 6)).astype('f4'))
        (views / 'class' / name).mkdir(parents=True)
        cv2.imwrite(str(views / 'class' / name / '0.png'), np.full((8, 8, 3), 90, np.uint8))
    (root / 'class' / 'b.npy').write_bytes(b'broken')
    path = tmp_path / 'config.py'
    path.write_text(
        f"""
train_dataloader = dict(dataset=dict(
    type='UserFolder', data_root={str(root)!r}, image_dir={str(views)!r}, images='required',
    extra_columns=dict(rgb=(3, 6)),
    pipeline=[dict(type='LoadPoints', attributes=['rgb']), dict(type='LoadView'),
              dict(type='PackTriplets')]))
"""
    )
    return path


def test_writes_pictures_and_goes_on_after_a_broken_sample(browse, config, tmp_path, capsys):
    # the exit code tells of the broken one
    assert browse.main([str(config), '--out', str(tmp_path / 'out'), '--size', '64']) == 1
    written = sorted((tmp_path / 'out').iterdir())
    assert len(written) == 2
    captured = capsys.readouterr()
    assert 'b.npy' in captured.err and '2 of 3 samples' in captured.out
    picture = cv2.imread(str(written[0]))
    assert picture.shape == (64 + browse.TITLE_HEIGHT, 3 * 64, 3)
    assert (picture[browse.TITLE_HEIGHT :, :64] == 90).all()
    for panel in (1, 2):
        points = picture[browse.TITLE_HEIGHT :, 64 * panel : 64 * (panel + 1)]
        assert 0.02 < (points < 255).any(-1).mean() < 0.6
    (tmp_path / 'mine/class/b.npy').unlink()
    assert browse.main([str(config), '--out', str(tmp_path / 'out'), '--size', '64']) == 0


def test_errors_are_one_line(browse, config, capsys):
    assert browse.main([str(config), '--loader', 'val_dataloader']) == 1
    assert "no val_dataloader; it has ['train_dataloader']" in capsys.readouterr().err
    assert browse.main(['missing.py']) == 1
    assert capsys.readouterr().err == "error: config file 'missing.py' does not exist\n"


def test_nearer_points_cover_farther_ones(browse):
    # seen from the first camera (azimuth 0: +z), the point at z = 0.9 hides the one behind it
    direction = np.array([0, np.sin(np.radians(20)), np.cos(np.radians(20))])
    points = np.float32([direction * 0.9, -direction * 0.9])
    colors = np.uint8([[255, 0, 0], [0, 0, 255]])
    for order in ([0, 1], [1, 0]):
        picture = browse.draw_points(points[order], 32, colors[order], azimuth=0)
        assert picture[16, 16].tolist() == [255, 0, 0]


def test_part_colors_differ(browse):
    colors = browse.point_colors(np.zeros((3, 3)), ('x', 'y', 'z'), np.arange(3))
    assert len({tuple(c) for c in colors.tolist()}) == 3
    assert browse.point_colors(np.zeros((3, 3)), ('x', 'y', 'z'), None) is None
