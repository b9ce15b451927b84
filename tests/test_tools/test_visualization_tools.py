"""Pictures from a user's own data and models: the commands as they are typed."""

from __future__ import annotations

import base64
import json
import re

import cv2
import numpy as np
import pytest
import torch

from mm3dpretrain.datasets import mesh_io
from mm3dpretrain.registry import MODELS
from tools.visualization import render_sample, visualize_features, visualize_reconstruction

CUBE = [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
CUBE_FACES = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
              [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]  # fmt: skip

PIPELINE = """[
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=64),
    dict(type='NormalizePoints'),
    dict(type='RandomScaleShift', scale=(0.5, 0.6), shift=0.2),
    dict(type='PackTriplets'),
]"""
DATA = """
train_dataloader = dict(dataset=dict(
    type='UserFolder', data_root={root!r}, cache_dir=None, num_points=300, gravity_axis='z',
    pipeline={pipeline}))
"""
TOKENIZER = dict(
    type='PointDVAE',
    num_groups=8,
    group_size=8,
    encoder_dim=16,
    num_tokens=16,
    token_dim=16,
    decoder_dim=16,
    hidden_dims=(8, 8, 8),
    graph_dims=(8, 8, 8, 8),
    folding_dims=(8, 8),
)
MASKED = dict(
    type='DRPoint',
    point_encoder=dict(
        type='PointTransformer', num_groups=8, group_size=8, encoder_dim=16, embed_dim=16, depth=1,
        num_heads=2, hidden_dims=(8, 8, 8),
    ),
    token_head=dict(type='MaskedTokenHead', in_channels=16, num_tokens=16),
    point_decoder=dict(type='PointDecoder', embed_dim=16, depth=1, num_heads=2, group_size=8),
    renderer=dict(type='PointSplatRenderer', radius=2.0, near=0.5, far=3.5),
    views=dict(type='CubeCornerViews', image_size=16),
    loss_weights=dict(cd=1.0, dr=0.1),
    modalities=('points',),
)  # fmt: skip


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Three cubes of different height and a cloud."""
    root = tmp_path_factory.mktemp('mine')
    for name, height in (('a', 0.5), ('b', 1.0), ('c', 2.0)):
        (root / 'cubes').mkdir(exist_ok=True)
        lines = ['OFF', '8 12 0']
        lines += [f'{x} {y} {height * z}' for x, y, z in CUBE]
        lines += [f'3 {i} {j} {k}' for i, j, k in CUBE_FACES]
        (root / 'cubes' / f'{name}.off').write_text('\n'.join(lines) + '\n')
    points = np.random.default_rng(0).normal(size=(200, 3)).astype('f4')
    np.save(root / 'cubes' / 'd.npy', points)
    return root


@pytest.fixture(scope='module')
def config(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp('config') / 'config.py'
    path.write_text(DATA.format(root=str(folder), pipeline=PIPELINE))
    return path


@pytest.fixture(scope='module')
def checkpoints(folder, tmp_path_factory):
    """Path of a checkpoint of each model, fresh weights."""
    found = {}
    for name, model in (('dvae', TOKENIZER), ('masked', MASKED)):
        torch.manual_seed(0)
        built = MODELS.build(model)
        text = f'model = {model!r}\n' + DATA.format(root=str(folder), pipeline=PIPELINE)
        meta = dict(cfg=text, mm3dpretrain=dict(method=model['type']))
        found[name] = tmp_path_factory.mktemp('checkpoints') / f'{name}.pth'
        torch.save(dict(state_dict=built.state_dict(), meta=meta), found[name])
    return found


def page_items(path) -> list[dict]:
    (data,) = re.findall(r'id="data">(.*?)</script>', path.read_text(), re.S)
    return json.loads(data)['items']


def points_of(item) -> np.ndarray:
    return np.frombuffer(base64.b64decode(item['points']), '<f4').reshape(-1, 3)


# ------------------------------------------------------------------ samples


def test_samples_of_a_config(config, tmp_path, capsys):
    out, page = tmp_path / 'sheet.png', tmp_path / 'page.html'
    code = render_sample.main(
        [str(config), '--index', '3', '2', '--size', '48', '--out', str(out), '--html', str(page)]
    )
    assert code == 0 and str(out) in capsys.readouterr().out
    # points from two sides, mesh, depth
    assert cv2.imread(str(out)).shape[1] == 4 * (48 + 4) + 4
    items = page_items(page)
    assert [item['title'] for item in items] == ['3  cubes/d', '2  cubes/c', '2  cubes/c: mesh']
    assert all(item['up'] == 2 for item in items), 'the gravity axis of the data set'
    # as on disk: neither sampled nor normalised nor augmented
    assert len(points_of(items[0])) == 200 and len(points_of(items[1])) == 300
    mesh = points_of(items[2])
    assert np.allclose(mesh, np.float32(CUBE) * [1, 1, 2])
    assert items[1]['radius'] == items[2]['radius']


def test_files_from_a_path(folder, tmp_path):
    out = tmp_path / 'sheet.png'
    files = [str(folder / 'cubes' / name) for name in ('c.off', 'd.npy')]
    assert render_sample.main([*files, '--size', '64', '--up-axis', 'z', '--out', str(out)]) == 0
    sheet = cv2.imread(str(out)).astype(int)
    # the high cube stands: its mesh (third panel) is higher than wide
    panel = sheet[2 * 18 :, 2 * 68 + 4 : 3 * 68][:64]
    rows, columns = np.nonzero((panel < 250).any(-1))
    assert np.ptp(rows) > 1.2 * np.ptp(columns)
    # the depth of the cloud is drawn as well, and its place for a mesh is empty
    second = sheet[2 * 18 + 68 + 18 :, 2 * 68 + 4 :]
    assert (second[:64, :60] == 255).all() and (second[:64, 68:128] < 250).any()


def test_stored_views_are_shown(folder, tmp_path):
    views = tmp_path / 'views'
    for name in 'abcd':
        (views / 'cubes' / name).mkdir(parents=True)
        for view in range(4):
            picture = np.full((10, 20, 3), 40 * view, np.uint8)
            cv2.imwrite(str(views / 'cubes' / name / f'{view}.png'), picture)
    path = tmp_path / 'config.py'
    text = DATA.format(root=str(folder), pipeline='[]')
    path.write_text(
        text.replace('cache_dir', f"images='required', image_dir={str(views)!r}, cache_dir")
    )
    out = tmp_path / 'sheet.png'
    arguments = [str(path), '--num', '1', '--views', '2', '--size', '40', '--out', str(out)]
    assert render_sample.main(arguments) == 0
    sheet = cv2.imread(str(out))
    for column, value in ((4, 0), (5, 80)):
        picture = sheet[36 : 36 + 40, column * 44 + 4 : column * 44 + 44]
        assert (picture[:20] == value).all() and (picture[20:] == 255).all()


def test_concatenated_sets_count_through_and_open_only_what_is_asked(config, folder, tmp_path):
    path = tmp_path / 'two.py'
    one = f"dict(type='UserFolder', data_root={str(folder)!r}, cache_dir=None, pipeline=[]"
    path.write_text(
        f"""
train_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[
    {one}, indices=[2, 0]), {one})]))
"""
    )
    page = tmp_path / 'page.html'
    arguments = [str(path), '--index', '5', '0', '1', '2', '--size', '16']
    out = ['--out', str(tmp_path / 'a.png'), '--html', str(page)]
    assert render_sample.main([*arguments, *out]) == 0
    titles = [item['title'] for item in page_items(page) if 'mesh' not in item['title']]
    assert titles == ['5  cubes/d', '0  cubes/c', '1  cubes/a', '2  cubes/a']


def test_packed_sets_show_their_meshes(data_root, tmp_path):
    path = tmp_path / 'config.py'
    cache = str(tmp_path / 'cache')
    path.write_text(
        f"""
train_dataloader = dict(dataset=dict(
    type='Cc0Objects', data_root={str(data_root / 'cc0_objects')!r}, split='all', pipeline=[],
    num_points=500, cache_dir={cache!r}))
"""
    )
    page = tmp_path / 'page.html'
    arguments = [str(path), '--index', '0', '--size', '48', '--out', str(tmp_path / 'a.png')]
    assert render_sample.main([*arguments, '--html', str(page)]) == 0
    cloud, mesh = page_items(page)
    assert mesh['by_face'] and len(points_of(cloud)) == 500
    low, high = points_of(mesh).min(0), points_of(mesh).max(0)
    assert (points_of(cloud).min(0) >= low - 1e-3).all()
    assert (points_of(cloud).max(0) <= high + 1e-3).all()


def test_other_data_sets_show_what_their_pipeline_gives(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        """
custom_imports = dict(imports=['toy_parts'], allow_failed_imports=False)
val_dataloader = dict(dataset=dict(type='ToyShapes', size=5))
"""
    )
    page = tmp_path / 'page.html'
    arguments = [str(path), '--index', '4', '--size', '40', '--out', str(tmp_path / 'a.png')]
    assert render_sample.main([*arguments, '--html', str(page)]) == 0
    (item,) = page_items(page)
    assert item['title'] == '4' and len(points_of(item)) == 32


def test_scenes_of_mmdet3d_stand_upright():
    record = dict(lidar_path='points/room7.bin')
    args = render_sample.parse_args(['x.py'])
    assert render_sample.common.up_axis_of(args, record) == 'z'
    assert render_sample.common.name_of(record) == 'room7'
    args.up_axis = 'x'
    assert render_sample.common.up_axis_of(args, record) == 'x'


def test_a_broken_file_is_named_and_the_rest_is_drawn(folder, tmp_path, capsys):
    broken, good = tmp_path / 'broken.off', str(folder / 'cubes' / 'a.off')
    broken.write_text('OFF\n8 12 0\n0 0 nonsense')
    out = tmp_path / 'sheet.png'
    assert render_sample.main([str(broken), good, '--size', '32', '--out', str(out)]) == 1
    assert out.is_file()
    err = capsys.readouterr().err
    assert 'left out' in err and '1 of 2 samples' in err
    assert err.count('broken.off') == 1


def test_an_unreadable_texture_is_named(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(mesh_io, 'print_log', lambda text, *args: lines.append(text))
    model = tmp_path / 'model.obj'
    corners = 'v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n'
    model.write_text(f'mtllib model.mtl\n{corners}usemtl a\nf 1/1 2/2 3/3\n')
    (tmp_path / 'model.mtl').write_text('newmtl a\nmap_Kd missing.png\n')
    out = tmp_path / 'sheet.png'
    assert render_sample.main([str(model), '--size', '32', '--out', str(out)]) == 0
    assert lines == [f'{model}: texture missing.png cannot be read, grey instead']


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['{config}', '--index', '4'], '--index 4: there are 4 samples, 0 to 3'),
        (['{config}', '--index', '-1'], '--index -1: there are 4 samples'),
        (['{config}', '--dataset', 'val_dataloader.dataset'], 'no data set val_dataloader.dataset'),
        (['missing.py'], "config file 'missing.py' does not exist"),
        (['missing.off'], 'missing.off: cannot read'),
        (['{config}', 'a.off'], 'one config, or only mesh and point files'),
    ],
)
def test_errors_of_samples_are_one_line(config, tmp_path, capsys, arguments, message):
    arguments = [a.format(config=config) for a in arguments]
    assert render_sample.main([*arguments, '--out', str(tmp_path / 'a.png')]) == 1
    err = capsys.readouterr().err
    assert message in err and 'Traceback' not in err
    assert not (tmp_path / 'a.png').exists()


# ------------------------------------------------------------------ models


@pytest.mark.parametrize('name', ['dvae', 'masked'])
def test_features_of_a_checkpoint(checkpoints, tmp_path, name):
    out, page = tmp_path / 'features.png', tmp_path / 'page.html'
    arguments = [str(checkpoints[name]), '--index', '0', '2', '--size', '40']
    arguments += ['--out', str(out), '--html', str(page)]
    assert visualize_features.main(arguments) == 0
    assert cv2.imread(str(out)).shape[1] == 3 * 44 + 4
    items = page_items(page)
    assert [item['title'] for item in items] == ['cubes/a', 'cubes/c']
    for item in items:
        # what the model read: sampled and normalised, without the augmentation of the training
        points = points_of(item)
        assert len(points) == 64 and np.linalg.norm(points, axis=1).max() == pytest.approx(1.0)
        colors = np.frombuffer(base64.b64decode(item['colors']), 'u1').reshape(-1, 3)
        assert colors.std(0).min() > 10
    again = page.read_text()
    assert visualize_features.main(arguments) == 0 and page.read_text() == again


def test_reconstruction_of_a_masked_model(checkpoints, tmp_path):
    page = tmp_path / 'page.html'
    arguments = [str(checkpoints['masked']), '--num', '2', '--size', '40', '--html', str(page)]
    assert visualize_reconstruction.main([*arguments, '--out', str(tmp_path / 'a.png')]) == 0
    assert cv2.imread(str(tmp_path / 'a.png')).shape[1] == 5 * 44 + 4
    items = page_items(page)
    assert [item['title'].split(': ')[1] for item in items[:3]] == ['input', 'visible', 'made']
    whole, seen, made = (points_of(item) for item in items[:3])
    assert len(whole) == 64 and 8 <= len(seen) < 64 and len(made) == 64
    assert {tuple(p) for p in seen.tolist()} < {tuple(p) for p in whole.tolist()}
    assert len({item['radius'] for item in items[:3]}) == 1


def test_reconstruction_of_a_tokenizer_from_files(checkpoints, folder, tmp_path):
    files = [str(folder / 'cubes' / name) for name in ('a.off', 'd.npy')]
    arguments = [str(checkpoints['dvae']), '--data', *files, '--size', '40']
    assert visualize_reconstruction.main([*arguments, '--out', str(tmp_path / 'a.png')]) == 0
    assert cv2.imread(str(tmp_path / 'a.png')).shape[1] == 4 * 44 + 4


@pytest.mark.parametrize('tool', [visualize_features, visualize_reconstruction])
@pytest.mark.parametrize(
    'arguments, message',
    [
        (['missing.pth'], 'missing.pth'),
        (['{dvae}', '--index', '9'], '--index 9: there are 4 samples, 0 to 3'),
        (['{dvae}', '--config', '{other}'], 'another method: the config builds ToyPretrainer'),
        (['{dvae}', '--config', '{wide}'], 'weights of another width'),
        (['{dvae}', '--data', '{bare}'], 'has no data set'),
        (['{dvae}', '--device', 'nowhere'], '--device nowhere cannot be used'),
        (['{dvae}', '--device', 'cuda:99'], '--device cuda:99 cannot be used'),
        (['{dvae}', '--data', 'missing.off'], 'missing.off'),
    ],
)
def test_errors_of_models_are_one_line(checkpoints, tmp_path, capsys, tool, arguments, message):
    names = {key: tmp_path / f'{key}.py' for key in ('other', 'wide', 'bare')}
    names['other'].write_text(
        "custom_imports = dict(imports=['toy_parts'])\n"
        "model = dict(type='ToyPretrainer', point_encoder=dict(type='ToyEncoder'))"
    )
    names['wide'].write_text(f'model = {dict(TOKENIZER, num_tokens=32)!r}')
    names['bare'].write_text('x = 1')
    arguments = [a.format(**checkpoints, **names) for a in arguments]
    assert tool.main([*arguments, '--out', str(tmp_path / 'a.png')]) == 1
    err = capsys.readouterr().err
    assert message in err and 'Traceback' not in err
    assert not (tmp_path / 'a.png').exists()


def test_models_that_cannot_be_shown_are_named(tmp_path, folder, capsys):
    import toy_parts

    path = tmp_path / 'toy.pth'
    toy_parts.save_toy_checkpoint(path)
    config = tmp_path / 'config.py'
    config.write_text(toy_parts.TOY_CONFIG.format(width=16, kind='ToyPretrainer')
                      + DATA.format(root=str(folder), pipeline=PIPELINE))  # fmt: skip
    arguments = [str(path), '--config', str(config), '--dataset', 'train_dataloader.dataset',
                 '--out', str(tmp_path / 'a.png')]  # fmt: skip
    assert visualize_features.main([*arguments, '--dataset', 'probe.test_dataset']) == 1
    assert 'no shapes that can be read' in capsys.readouterr().err
    assert visualize_features.main(arguments) == 1
    assert 'ToyPretrainer has no local features' in capsys.readouterr().err
    assert visualize_reconstruction.main(arguments) == 1
    assert 'ToyPretrainer reconstructs no points' in capsys.readouterr().err


@pytest.mark.parametrize('tool', [render_sample, visualize_features, visualize_reconstruction])
def test_help_has_examples(tool, capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main(['--help'])
    assert caught.value.code == 0 and 'Examples::' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        tool.main(['x', '--out', 'sheet.xyz'])
    assert 'sheet.xyz: unknown picture format' in capsys.readouterr().err
