"""Class embeddings: the file, the average over prompts, and the errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mm3dpretrain.datasets.class_embeddings import (
    ClassEmbeddings,
    average_prompts,
    class_words,
    read_class_embeddings,
    write_class_embeddings,
)
from mm3dpretrain.datasets.io import SampleError


def rows(*shape):
    values = np.random.default_rng(0).normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_file_keeps_everything(tmp_path):
    value = ClassEmbeddings(('chair', 'Stuhl für zwei'), rows(2, 8), dict(key='k', num_templates=3))
    write_class_embeddings(tmp_path / 'a' / 'c.npz', value)
    found = read_class_embeddings(tmp_path / 'a' / 'c.npz')
    assert found.names == value.names and found.meta == value.meta and found.dim == 8
    np.testing.assert_array_equal(found.embeddings, value.embeddings)
    assert found.embeddings.dtype == np.float32
    # no Python objects in the file
    with np.load(tmp_path / 'a' / 'c.npz', allow_pickle=False) as arrays:
        assert json.loads(str(arrays['meta'])) == value.meta


def test_select_orders_by_name_and_names_both_sides():
    value = ClassEmbeddings(('a', 'b', 'c'), rows(3, 4))
    chosen = value.select(['c', 'a'])
    assert chosen.names == ('c', 'a')
    np.testing.assert_array_equal(chosen.embeddings, value.embeddings[[2, 0]])
    with pytest.raises(ValueError, match=r"\['x'\].*\['b', 'c'\]"):
        value.select(['a', 'x'])
    with pytest.raises(ValueError, match='at least one class'):
        value.select([])


def test_average_of_unit_vectors_not_of_raw_ones():
    features = np.array([[10.0, 0, 0], [0, 0.1, 0]])
    np.testing.assert_allclose(average_prompts(features), np.array([1, 1, 0]) / np.sqrt(2), 1e-6)


@pytest.mark.parametrize(
    ('features', 'match'),
    [
        (np.zeros((0, 4)), 'K >= 1'),
        (np.zeros((2, 4)), 'zero or not finite'),
        (np.full((2, 4), np.nan), 'zero or not finite'),
        (np.array([[1.0, 0], [-1, 0]]), 'cancel'),
    ],
)
def test_average_refuses(features, match):
    with pytest.raises(ValueError, match=match):
        average_prompts(features)


@pytest.mark.parametrize(
    ('names', 'embeddings', 'match'),
    [
        ((), np.zeros((0, 4)), 'at least one class'),
        (('a', 'a'), rows(2, 4), 'must differ'),
        (('a',), rows(2, 4), r'\(1, D\)'),
        (('a',), 3 * rows(1, 4), 'length 3'),
        (('a',), np.full((1, 4), np.nan), 'length nan'),
    ],
)
def test_bad_values(names, embeddings, match):
    with pytest.raises(ValueError, match=match):
        ClassEmbeddings(names, embeddings)


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='do not exist'):
        read_class_embeddings(tmp_path / 'none.npz')
    (tmp_path / 'broken.npz').write_bytes(b'PK\x03\x04 cut off')
    np.savez(tmp_path / 'other.npz', points=np.zeros(3))
    for name in ('broken.npz', 'other.npz'):
        with pytest.raises(SampleError, match='not a file of class embeddings'):
            read_class_embeddings(tmp_path / name)
    with pytest.raises(ValueError, match=r'\.npz'):
        write_class_embeddings(tmp_path / 'c.json', ClassEmbeddings(('a',), rows(1, 4)))


def test_words_of_classes():
    assert class_words(dict(classes=('night_stand', 'sofa'))) == {
        'night_stand': 'night stand',
        'sofa': 'sofa',
    }
    assert class_words(dict(classes=('A', 'B'), class_texts=('a', 'b_c'))) == {'A': 'a', 'B': 'b_c'}
