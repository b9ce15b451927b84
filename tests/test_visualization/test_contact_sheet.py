"""Contact sheets and the script that draws them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mm3dpretrain.models.renderers import PointSplatRenderer, orbit_views
from mm3dpretrain.visualization import color_depth, contact_sheet, render_sheet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def script():
    path = ROOT / 'tools' / 'visualization' / 'contact_sheet.py'
    spec = importlib.util.spec_from_file_location('contact_sheet_script', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_script_offers_every_kernel_and_names_what_it_cannot_write(script, tmp_path, capsys):
    from mm3dpretrain.models.renderers.point_splat import KERNELS

    assert script.KERNELS == KERNELS
    np.save(tmp_path / 'a.npy', np.random.default_rng(0).normal(size=(50, 3)).astype('f4'))
    command = [str(tmp_path / 'a.npy'), '--image-size', '16', '--num-views', '1']
    command += ['--kernel', 'gaussian', '--json', str(tmp_path / 'a.npy' / 'x.json')]
    assert script.main(command) == 1 and (tmp_path / 'a_views.png').is_file()
    assert 'x.json' in capsys.readouterr().err


def test_pictures_lie_in_rows_and_columns():
    red, blue = (np.full((10, 20, 3), c, np.uint8) for c in ((255, 0, 0), (0, 0, 255)))
    sheet = contact_sheet([[red, blue], [blue]])
    assert sheet.shape == (28, 52, 3)
    assert (sheet[0:10, 4:24] == red).all() and (sheet[0:10, 28:48] == blue).all()
    assert (sheet[14:24, 4:24] == blue).all() and (sheet[14:24, 28:48] == 255).all()
    labelled = contact_sheet([[red, blue], [blue]], ['a', 'b'], ['one', 'two'])
    assert labelled.shape == (28 + 3 * 18, 52, 3)
    assert (labelled[:18] < 128).any()


@pytest.mark.parametrize(
    ('rows', 'labels', 'message'),
    [
        ([], None, 'at least one picture'),
        ([[np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)]], None, 'of one size'),
        ([[np.zeros((4, 4, 3), np.float32)]], None, 'uint8'),
        ([[np.zeros((4, 4, 3), np.uint8)]], ['a', 'b'], '2 row labels for 1 rows'),
    ],
)
def test_impossible_sheets_are_refused(rows, labels, message):
    with pytest.raises(ValueError, match=message):
        contact_sheet(rows, row_labels=labels)


def test_depth_colours_run_from_near_to_far_on_white():
    depth = np.array([[1.0, 2.0, 3.0, 0.0]])
    colors = color_depth(depth, np.array([[1.0, 1.0, 1.0, 0.0]]))
    assert colors[0, 3].tolist() == [255, 255, 255]
    brightness = colors[0, :3].astype(int).sum(-1)
    assert brightness[0] > brightness[1] > brightness[2]
    empty = color_depth(depth, np.zeros((1, 4)))
    assert (empty == 255).all()


def test_render_sheet_shows_colours_where_the_points_are():
    points = np.array([[0.5, 0, 0], [-0.5, 0, 0]])
    colors = np.array([[200, 0, 0], [0, 0, 200]], np.uint8)
    views = orbit_views(1, elevation=0, image_size=64)  # from +z: x is right
    sheet, figures = render_sheet(points, views, PointSplatRenderer(radius=6.0), colors)
    picture = sheet[36 : 36 + 64, 4 : 4 + 64].astype(int)
    right, left = picture[32, 32 + 13], picture[32, 32 - 13]
    assert right[0] > right[2] + 80 and left[2] > left[0] + 80
    assert figures['views'][0]['near'] == pytest.approx(3.0, abs=1e-4)
    assert 0 < figures['views'][0]['covered'] < 0.1
    with pytest.warns(UserWarning, match='all pictures are empty'):
        _, figures = render_sheet(points + 100, views)
    assert figures['views'] == [dict(covered=0.0, near=None, far=None)]
    with pytest.raises(ValueError, match=r'points must be \(N, 3\)'):
        render_sheet(np.zeros((0, 3)), views)


@pytest.mark.parametrize('views', ['orbit', 'cube'])
def test_script_draws_a_cloud(script, tmp_path, views, capsys):
    rng = np.random.default_rng(0)
    np.save(tmp_path / 'cloud.npy', 5 + rng.normal(size=(300, 3)).astype('f4'))
    out, report = tmp_path / 'sheet.png', tmp_path / 'report.json'
    arguments = [str(tmp_path / 'cloud.npy'), '--views', views, '--num-views', '3']
    arguments += ['--image-size', '40', '60', '--out', str(out), '--json', str(report)]
    assert script.main(arguments) == 0
    assert str(out) in capsys.readouterr().out
    figures = json.loads(report.read_text())
    count = 3 if views == 'orbit' else 8
    assert len(figures['views']) == count and figures['num_points'] == 300
    assert all(0 < view['covered'] < 1 for view in figures['views'])
    assert cv2.imread(str(out)).shape == (4 * 18 + 3 * 44, count * 64 + 4, 3)


def test_script_reads_meshes(script, tmp_path):
    (tmp_path / 'triangle.off').write_text('OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n')
    out = tmp_path / 'sheet.png'
    assert script.main([str(tmp_path / 'triangle.off'), '--num-points', '200', '--image-size', '32',
                        '--out', str(out)]) == 0  # fmt: skip
    assert out.is_file()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nothing.npy'], 'nothing.npy'),
        (['cloud.npy', '--radius', '0'], 'radius must be positive'),
        (['cloud.npy', '--out', 'sheet.xyz'], 'unknown picture format'),
        (['cloud.npy', '--num-views', '0'], 'num_views must be at least 1'),
    ],
)
def test_script_says_what_is_wrong(script, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.save('cloud.npy', np.random.default_rng(0).normal(size=(50, 3)).astype('f4'))
    assert script.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error
    assert [p.name for p in tmp_path.iterdir()] == ['cloud.npy']
