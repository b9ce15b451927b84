"""Which models a folder holds."""

from __future__ import annotations

import os

import pytest

from mm3dpretrain.datasets.model_folder import find_models


def touch(root, *names) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('')


def test_modelnet_like(tmp_path):
    touch(tmp_path, 'night_stand/train/a.off', 'night_stand/test/b.OFF', 'bed/val/c.obj')
    touch(tmp_path, 'bed/readme.txt', '.hidden/x.off', 'bed/.y.off', 'bed/wood.png')
    models = {model.id: model for model in find_models(tmp_path)}
    assert set(models) == {'night_stand-a', 'night_stand-b', 'bed-c'}
    assert [models[f'night_stand-{x}'].split for x in 'ab'] == ['train', 'test']
    assert models['bed-c'].split == 'val' and models['bed-c'].category == 'bed'
    assert models['night_stand-b'].file == 'night_stand/test/b.OFF'


def test_split_first_plain_and_flat(tmp_path):
    touch(tmp_path / 'a', 'train/chair/x.ply', 'test/chair/y.ply')
    assert [(m.id, m.split) for m in find_models(tmp_path / 'a')] == [
        ('chair-y', 'test'), ('chair-x', 'train'),
    ]  # fmt: skip
    touch(tmp_path / 'b', 'x.ply', 'y.stl')
    assert [(m.id, m.category) for m in find_models(tmp_path / 'b')] == [
        ('shape-x', 'shape'), ('shape-y', 'shape'),
    ]  # fmt: skip


def test_shapenet_core(tmp_path):
    touch(tmp_path, '03001627/u-1/models/model_normalized.obj')
    (model,) = find_models(tmp_path)
    assert model.id == '03001627-u-1_models_model_normalized' and model.category == 'chair'


def test_names_are_safe_and_unique(tmp_path):
    touch(tmp_path, 'big-bed x/train/a b.off', 'big-bed x/test/a b.off', 'big-bed x/a_b.obj')
    models = find_models(tmp_path)
    assert len({model.id.lower() for model in models}) == 3
    for model in models:
        assert model.synset == 'big_bed_x' and ' ' not in model.id
        assert model.id.partition('-')[0] == model.synset and model.category == 'big-bed x'
    # the names do not depend on the order in which files are found
    assert find_models(tmp_path) == models


def test_split_by_hash(tmp_path):
    touch(tmp_path, *(f'c/{i}.off' for i in range(200)))
    assert {m.split for m in find_models(tmp_path)} == {'train'}
    chosen = {m.id for m in find_models(tmp_path, 0.25) if m.split == 'test'}
    assert 30 < len(chosen) < 70
    touch(tmp_path, 'c/new.off')
    assert {m.id for m in find_models(tmp_path, 0.25) if m.split == 'test'} - {'c-new'} == chosen


def test_a_pipe_is_no_file(tmp_path):
    touch(tmp_path, 'c/a.off')
    os.mkfifo(tmp_path / 'c/b.off')
    assert [model.id for model in find_models(tmp_path)] == ['c-a']


def test_a_link_to_nowhere_is_a_model_that_will_fail(tmp_path):
    touch(tmp_path, 'c/a.off')
    os.symlink(tmp_path / 'missing.off', tmp_path / 'c/b.off')
    assert [model.id for model in find_models(tmp_path)] == ['c-a', 'c-b']


def test_refusals(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no folder'):
        find_models(tmp_path / 'missing')
    with pytest.raises(FileNotFoundError, match=r'no \.off'):
        find_models(tmp_path)
    touch(tmp_path, 'c/a.off', 'b.off')
    with pytest.raises(ValueError, match='without a class such as b.off'):
        find_models(tmp_path)
    (tmp_path / 'b.off').unlink()
    touch(tmp_path, 'x-y/a.off', 'x_y/a.off')
    with pytest.raises(ValueError, match="'x-y' and 'x_y'"):
        find_models(tmp_path)
    with pytest.raises(ValueError, match='test_fraction'):
        find_models(tmp_path, 1.0)
