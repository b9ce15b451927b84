"""Indices of folders and data sets, their file, and queries by text, picture and shape."""

from __future__ import annotations

import numpy as np
import pytest
from toy_space import DIM, ToyCLIPSpace, ToySpace, write_shapes, write_toy_checkpoint

from mm3dpretrain.apis import Retriever, ShapeEncoder, ShapeIndex, read_index, write_index
from mm3dpretrain.apis import retrieval as module
from mm3dpretrain.datasets import SampleError


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    return ShapeEncoder(write_toy_checkpoint(tmp_path_factory.mktemp('toy') / 'toy.pth'))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes')
    write_shapes(root)
    return root


def random_index(count=50, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return ShapeIndex(tuple(f's{i}' for i in range(count)), rows.astype(np.float16))


def test_search_equals_a_sort_in_every_chunk_size(monkeypatch):
    index = random_index()
    query = 3 * np.random.default_rng(1).normal(size=DIM)
    expected = index.embeddings.astype(np.float64) @ (query / np.linalg.norm(query))
    for chunk in (1, 7, 1000):
        monkeypatch.setattr(module, 'CHUNK', chunk)
        found = index.search(query, 8)
        assert [name for name, _ in found] == [f's{i}' for i in np.argsort(-expected)[:8]]
        np.testing.assert_allclose([s for _, s in found], np.sort(expected)[::-1][:8], atol=1e-6)
    assert len(index.search(query, 1000)) == 50


def test_folder_index_and_its_file(encoder, folder, tmp_path):
    retriever = Retriever(encoder)
    index = retriever.index(folder)
    assert len(index.ids) == 7 and 'kind0/tetra.off' in index.ids
    assert index.embeddings.dtype == np.float16 and index.meta['skipped'] == 0
    write_index(tmp_path / 'i.npz', index)
    found = read_index(tmp_path / 'i.npz')
    assert found.ids == index.ids and found.meta == index.meta
    np.testing.assert_array_equal(found.embeddings, index.embeddings)
    # a shape finds itself first, from the file as well
    for name in index.ids:
        best = retriever.query(tmp_path / 'i.npz', shape=folder / name, topk=2)
        assert best[0][0] == name and best[0][1] == pytest.approx(1, abs=2e-3)


def test_broken_files_are_left_out_and_counted(encoder, tmp_path):
    write_shapes(tmp_path, 2)
    (tmp_path / 'kind0' / 'broken.xyz').write_text('1 2 x\n')
    index = Retriever(encoder).index(tmp_path)
    assert len(index.ids) == 3 and index.meta['skipped'] == 1
    for path in tmp_path.rglob('shape*'):
        path.unlink()
    (tmp_path / 'kind0' / 'tetra.off').unlink()
    with pytest.raises(SampleError, match='all 1 files'):
        Retriever(encoder).index(tmp_path)
    (tmp_path / 'kind0' / 'broken.xyz').unlink()
    with pytest.raises(FileNotFoundError):
        Retriever(encoder).index(tmp_path)


def test_dataset_index(encoder, folder):
    pipeline = [
        dict(type='LoadPoints'),
        dict(type='SamplePoints', num_points=64),
        dict(type='NormalizePoints', center='bbox'),
        dict(type='FillColors'),
        dict(type='PackTriplets'),
    ]
    dataset = dict(
        type='UserFolder', data_root=str(folder), num_points=64, cache_dir=None, pipeline=pipeline
    )
    index = Retriever(encoder).index(dataset)
    assert set(index.ids) == {f'kind{i % 2}/shape{i}' for i in range(6)} | {'kind0/tetra'}
    with pytest.raises(ValueError, match='up_axis turns files'):
        Retriever(encoder).index(dataset, up_axis='z')


def test_text_and_picture_queries(encoder):
    space = ToyCLIPSpace()
    retriever, index = Retriever(encoder, space), random_index()
    vector = space.encode_texts(['red chair'])[0].numpy()
    assert retriever.query(index, text='red chair') == index.search(vector)
    templates = ['a {}', 'the {}']
    mean = space.encode_texts(['a red chair', 'the red chair']).mean(0).numpy()
    found = retriever.query(index, text='red chair', prompts=templates)
    assert [n for n, _ in found] == [n for n, _ in index.search(mean)]
    picture = np.full((8, 8, 3), (250, 30, 10), np.uint8)
    vector = space.encode_image(space.preprocess(picture[None]))[0].numpy()
    assert retriever.query(index, image=picture) == index.search(vector)


def test_bad_queries(encoder, tmp_path):
    index = random_index()
    with pytest.raises(ValueError, match='give one of'):
        Retriever(encoder).query(index)
    with pytest.raises(ValueError, match='give one of'):
        Retriever(encoder).query(index, text='a', shape=np.zeros((3, 3)))
    with pytest.raises(ValueError, match='needs text_space'):
        Retriever(encoder).query(index, text='a')
    with pytest.raises(ValueError, match='image tower'):
        Retriever(encoder, ToySpace()).query(index, image=np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match='give a checkpoint'):
        Retriever(text_space=ToySpace()).query(index, shape=np.zeros((3, 3)))
    with pytest.raises(ValueError, match="'num_points'"):
        Retriever(num_points=3)
    narrow = ShapeIndex(('a',), np.ones((1, 5), np.float16))
    with pytest.raises(ValueError, match='width 5'):
        Retriever(encoder, ToySpace()).query(narrow, text='a')
    for query, match in ((np.zeros(DIM), 'zero'), (np.full(DIM, np.nan), 'not finite')):
        with pytest.raises(ValueError, match=match):
            index.search(query)
    with pytest.raises(ValueError, match='topk'):
        index.search(np.ones(DIM), 0)
    with pytest.raises(ValueError, match='width 9'):
        Retriever(encoder, ToySpace(dim=9))
    ours = ShapeEncoder(write_toy_checkpoint(tmp_path / 'k.pth', embedding_key='ours'))
    theirs = ShapeIndex(index.ids, index.embeddings, dict(key='theirs'))
    with pytest.raises(ValueError, match='teacher theirs'):
        Retriever(ours, ToySpace('ours')).query(theirs, text='a')
    with pytest.raises(ValueError, match='teacher theirs'):
        Retriever(text_space=ToySpace('ours')).query(theirs, text='a')
    # without a model
    assert Retriever(text_space=ToySpace('theirs')).query(theirs, text='a')


def test_bad_indices(tmp_path):
    with pytest.raises(ValueError, match='at least one'):
        ShapeIndex((), np.zeros((0, 3)))
    with pytest.raises(ValueError, match='differ'):
        ShapeIndex(('a', 'a'), np.zeros((2, 3)))
    with pytest.raises(ValueError, match='2 shapes'):
        ShapeIndex(('a', 'b'), np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r'\.npz'):
        write_index(tmp_path / 'i.bin', random_index())
    with pytest.raises(FileNotFoundError, match='no index'):
        read_index(tmp_path / 'i.npz')
    (tmp_path / 'i.npz').write_bytes(b'nothing')
    with pytest.raises(SampleError, match='not an index'):
        read_index(tmp_path / 'i.npz')
