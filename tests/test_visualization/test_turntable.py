"""The page that turns objects: what is in it, and that its script draws it the right way up."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from mm3dpretrain.models.renderers.views import orbit_views
from mm3dpretrain.visualization import TurnableItem, write_page
from mm3dpretrain.visualization.turntable_script import SCRIPT


class Page(HTMLParser):
    """Elements of a page with their attributes and texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[list] = []
        self.text = Path(path).read_text()
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ''])

    def handle_data(self, data):
        if self.elements:
            self.elements[-1][2] += data

    def items(self) -> list[dict]:
        (data,) = (text for _, attrs, text in self.elements if attrs.get('id') == 'data')
        return json.loads(data)['items']


def array(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(-1, 3)


def cloud(num=50, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, 3)).astype('f4'), rng.integers(0, 256, (num, 3), dtype=np.uint8)


CUBE = np.float32([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
CUBE_FACES = np.int64(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
    + [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)


def test_the_page_holds_the_data_as_they_are(tmp_path):
    points, colors = cloud()
    face_colors = np.arange(36, dtype=np.uint8).reshape(12, 3)
    items = [
        TurnableItem('cloud & <co>', points, colors, up_axis='z'),
        TurnableItem('mesh', CUBE, face_colors, CUBE_FACES),
    ]
    page = Page(write_page(items, tmp_path / 'page.html', 'Two <things>'))
    first, second = page.items()
    assert first['title'] == 'cloud & <co>' and first['up'] == 2 and first['faces'] is None
    assert np.array_equal(array(first['points'], '<f4'), points)
    assert np.array_equal(array(first['colors'], 'u1'), colors)
    assert first['note'] == '50 points'
    assert np.array_equal(array(second['points'], '<f4'), CUBE)
    assert np.array_equal(array(second['faces'], '<u4'), CUBE_FACES)
    assert np.array_equal(array(second['colors'], 'u1'), face_colors) and second['by_face']
    assert second['radius'] == pytest.approx(np.sqrt(0.75)) and second['center'] == [0, 0, 0]
    titles = [text for tag, _, text in page.elements if tag in ('title', 'h1')]
    assert [text.strip() for text in titles] == ['Two <things>'] * 2
    assert len(list(tmp_path.iterdir())) == 1, 'no temporary file is left'


def test_nothing_outside_the_page_is_asked_for(tmp_path):
    page = Page(write_page([TurnableItem('a', *cloud())], tmp_path / 'page.html'))
    loading = {'link', 'img', 'iframe', 'object', 'embed', 'audio', 'video', 'base', 'form'}
    assert not loading & {tag for tag, _, _ in page.elements}
    for _, attrs, _ in page.elements:
        assert not {'src', 'href', 'data', 'action', 'srcset'} & set(attrs)
    assert not re.search(r'https?:|//[a-z]|url\(|@import|fetch\(|XMLHttp|import\(|WebSocket',
                         page.text)  # fmt: skip
    (policy,) = (a['content'] for _, a, _ in page.elements if 'http-equiv' in a)
    assert policy.startswith("default-src 'none'")


def test_text_cannot_leave_the_data(tmp_path):
    item = TurnableItem('</script><script>alert(1)</script>', *cloud())
    page = Page(write_page([item], tmp_path / 'page.html', '</title><b>'))
    assert [tag for tag, _, _ in page.elements].count('script') == 2
    assert page.items()[0]['title'] == '</script><script>alert(1)</script>'


def test_a_large_cloud_is_thinned_and_the_page_says_so(tmp_path):
    points, colors = cloud(5000)
    (item,) = Page(
        write_page([TurnableItem('big', points, colors)], tmp_path / 'a.html', max_points=1000)
    ).items()
    kept = array(item['points'], '<f4')
    assert len(kept) == 1000 and item['note'] == '1,000 of 5,000 points, chosen at random'
    row = {tuple(p): tuple(c) for p, c in zip(points.tolist(), colors.tolist())}
    assert all(
        row[tuple(p)] == tuple(c)
        for p, c in zip(kept.tolist(), array(item['colors'], 'u1').tolist())
    )
    # the frame is that of all points
    assert item['radius'] > np.abs(points).max()


@pytest.mark.parametrize('by_face', [True, False])
def test_a_large_mesh_becomes_points_of_its_surface(tmp_path, by_face):
    colors = np.zeros((12 if by_face else 8, 3), np.uint8)
    colors[:, 0] = 7
    item = TurnableItem('mesh', CUBE, colors, CUBE_FACES)
    (record,) = Page(write_page([item], tmp_path / 'a.html', max_points=300, max_faces=11)).items()
    points = array(record['points'], '<f4')
    assert record['faces'] is None and not record['by_face'] and len(points) == 300
    assert np.allclose(np.abs(points).max(1), 0.5)
    assert (array(record['colors'], 'u1') == (7, 0, 0)).all()
    assert record['note'] == '300 points of the surface of 12 faces'


def test_items_of_one_frame_share_centre_and_scale(tmp_path):
    a, b = cloud(seed=1)[0], 5 + 3 * cloud(seed=2)[0]
    items = [TurnableItem('a', a, frame='x'), TurnableItem('b', b, frame='x'), TurnableItem('c', a)]
    first, second, alone = Page(write_page(items, tmp_path / 'a.html')).items()
    assert first['center'] == second['center'] and first['radius'] == second['radius']
    assert alone['radius'] < first['radius']


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(points=np.zeros((0, 3))), r'points must be \(N, 3\), N >= 1'),
        (dict(points=np.zeros((4, 2))), r'points must be \(N, 3\)'),
        (dict(points=np.full((4, 3), np.nan)), 'NaN or infinite'),
        (dict(points=CUBE, up_axis='u'), "up_axis must be .* not 'u'"),
        (dict(points=CUBE, faces=CUBE_FACES + 1), 'name the vertices 1 to 8 of 8'),
        (dict(points=CUBE, faces=np.zeros((2, 4), int)), r'integers \(F, 3\)'),
        (dict(points=CUBE, colors=np.zeros((7, 3), np.uint8)), 'colors must be uint8'),
        (dict(points=CUBE, colors=np.zeros((8, 3))), 'colors must be uint8'),
    ],
)
def test_wrong_items_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=f'thing: .*{message}'):
        TurnableItem('thing', **arguments)


def test_no_items_and_wrong_limits(tmp_path):
    with pytest.raises(ValueError, match='at least one item'):
        write_page([], tmp_path / 'a.html')
    with pytest.raises(ValueError, match='limits must be positive'):
        write_page([TurnableItem('a', CUBE)], tmp_path / 'a.html', max_points=0)


# ------------------------------------------------------------------ the script itself


@pytest.fixture(scope='module')
def node():
    program = shutil.which('node')
    if program is None:
        pytest.skip('node is not installed: the script cannot be run')
    return program


def run(node, page) -> dict:
    script = Path(__file__).with_name('turntable_dom.js')
    done = subprocess.run([node, script, page], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_brackets_of_the_script_match():
    # a rough check where node is missing: a lost bracket would leave an empty page
    stack = []
    for char in re.sub(r"'[^'\n]*'|//[^\n]*", '', SCRIPT):
        if char in '([{':
            stack.append(char)
        elif char in ')]}':
            assert stack and stack.pop() + char in ('()', '[]', '{}')
    assert not stack


def test_script_projects_like_the_pictures(node, tmp_path):
    # what the page shows first is the view of draw_points: same camera, for every up axis
    for axis in 'xyz':
        points, colors = cloud(40)
        points /= np.linalg.norm(points, axis=1).max()
        points = np.concatenate([points, -points])  # centred, so that nothing is moved
        colors = np.concatenate([colors, colors])
        item = TurnableItem('cloud', points, colors, up_axis=axis)
        result = run(node, write_page([item], tmp_path / f'{axis}.html'))
        radius = Page(tmp_path / f'{axis}.html').items()[0]['radius']
        cameras = orbit_views(1, 20, 2.8, 300, up_axis=axis, start_azimuth=30)
        uv, depth = cameras.project(torch.from_numpy(points / radius)[None])
        order = np.argsort(-depth[0, 0].numpy())
        background, *dots = result['first'][0]
        assert background['fill'] == '#fff' and len(dots) == 80
        drawn = np.array([[dot['x'], dot['y']] for dot in dots])
        assert np.allclose(drawn, uv[0, 0].numpy()[order], atol=0.05)
        wanted = [f'rgb({r},{g},{b})' for r, g, b in colors[order].tolist()]
        assert [dot['fill'] for dot in dots] == wanted


def test_script_turns_zooms_and_goes_back(node, tmp_path):
    items = [TurnableItem('one', *cloud()), TurnableItem('two', CUBE, faces=CUBE_FACES)]
    result = run(node, write_page(items, tmp_path / 'a.html'))
    assert result['captions'] == [['one', '50 points'], ['two', '12 faces']]
    assert 'without WebGL' in result['mode'] and result['prevented']
    assert result['sizes'] == [[300, 300]] * 2, 'a canvas of a browser starts as 300 x 150'

    def spots(name):
        return np.array([[dot['x'], dot['y']] for dot in result[name][0][1:]])

    # dragging to the right moves what is in front (drawn last) to the right, and all panels turn
    first, dragged = spots('first'), spots('dragged')
    assert not np.allclose(first, dragged)
    front = {dot['fill']: dot['x'] for dot in result['first'][0][-10:]}
    moved = [dot['x'] - front[dot['fill']] for dot in result['dragged'][0] if dot['fill'] in front]
    assert np.mean(moved) > 5
    assert result['first'][1] != result['dragged'][1]
    assert np.allclose(first, spots('reset')) and result['first'][1] == result['reset'][1]
    for name, before in (('zoomed', first), ('pinched', dragged)):
        factor = (spots(name) - 150) / (before - 150)
        assert np.allclose(factor, factor[0, 0], atol=1e-3) and factor[0, 0] > 1.2


def test_script_darkens_near_points_that_have_no_colour(node, tmp_path):
    points = np.float32([[0, 0, 1], [0, 0, -1]])
    page = write_page([TurnableItem('a', points)], tmp_path / 'a.html')
    far, near = (dot['fill'] for dot in run(node, page)['first'][0][1:])
    values = [int(re.match(r'rgb\((\d+),', text)[1]) for text in (near, far)]
    z = np.cos(np.radians(20)) * np.cos(np.radians(30))
    assert values == [round(150 * (0.75 - 0.5 * z)), round(150 * (0.75 + 0.5 * z))]


def test_script_draws_faces_back_to_front_with_light(node, tmp_path):
    colors = np.repeat(np.uint8([[250, 0, 0]]), 12, 0)
    colors[6:8] = 0, 250, 0  # the upper side, y = 0.5
    item = TurnableItem('cube', CUBE, colors, CUBE_FACES)
    faces = run(node, write_page([item], tmp_path / 'a.html'))['first'][0][1:]
    assert len(faces) == 12
    heights = {'red': [], 'green': []}
    for face in faces:
        color = 'green' if face['fill'].startswith('rgb(0,') else 'red'
        heights[color].append(np.mean([y for _, y in face['triangle']]))
    # the upper side is upwards on the page (y grows downwards)
    assert len(heights['green']) == 2
    assert np.mean(heights['green']) < np.mean(heights['red']) - 30
    # seen at an angle, it is darker than full light and no darker than the ambient share
    (value, _) = (int(f['fill'].split(',')[1]) for f in faces if f['fill'].startswith('rgb(0,'))
    assert 0.35 * 250 < value < 250
    assert value == pytest.approx(250 * (0.35 + 0.65 * np.sin(np.radians(20))), abs=1)
