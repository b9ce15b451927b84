from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.embedding_cache import (
    EmbeddingCache,
    EmbeddingWriter,
    stable_hash,
    texts_of,
)
from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.registry import TRANSFORMS

DIM = 6


def content(image='i1', text='t1'):
    sides = dict(image=image, text=text)
    return dict(
        embed_dim=DIM, **{k: v and dict(key=v, identity=f'{v}-weights') for k, v in sides.items()}
    )


def rows_of(index):
    """Embeddings of sample ``index``: 0 to 2 views, 0 to 3 texts."""
    rng = np.random.default_rng(index)
    image = rng.normal(size=(index % 3, DIM)).astype(np.float32)
    text = rng.normal(size=((index * 2) % 4, DIM)).astype(np.float32)
    return image, text, [f'text {index} {k}' for k in range(len(text))]


def fill(folder, indices, shard_size=4, **kwargs):
    writer = EmbeddingWriter(folder, content(**kwargs), shard_size)
    for index in indices:
        name = f's{index}'
        if name not in writer:
            image, text, texts = rows_of(index)
            writer.add(name, image, text, texts)
    return writer


def record(index):
    return dict(sample_id=f's{index}', caption=rows_of(index)[2])


def test_reads_what_was_written(tmp_path):
    fill(tmp_path, range(11)).flush()
    cache = EmbeddingCache(tmp_path)
    assert len(cache) == 11 and 's3' in cache and 's11' not in cache
    for index in np.random.default_rng(0).permutation(11):
        image, text, _ = rows_of(index)
        found = cache.read(record(index))
        assert found[0].dtype == found[1].dtype == np.float16
        assert np.array_equal(found[0], image.astype(np.float16))
        assert np.array_equal(found[1], text.astype(np.float16))
        # mapped from the file, not read as a whole
        assert not found[0].flags.owndata and not found[0].flags.writeable


def test_a_killed_run_goes_on(tmp_path):
    fill(tmp_path, range(10))  # ends without flush: two shards of four are there
    assert len(EmbeddingCache(tmp_path)) == 8
    (tmp_path / '000002-image.npy').write_bytes(b'half a file')  # of the shard that was open
    writer = fill(tmp_path, range(10))
    assert 's7' in writer
    writer.flush()
    cache = EmbeddingCache(tmp_path)
    assert len(cache) == 10
    assert np.array_equal(cache.read(record(9))[1], rows_of(9)[1].astype(np.float16))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    fill(tmp_path, range(10)).flush()  # nothing is left to do
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


@pytest.mark.parametrize('other', [dict(image='i2'), dict(text='t2'), dict(image=None)])
def test_another_teacher_is_refused_with_both_keys(tmp_path, other):
    fill(tmp_path, range(3)).flush()
    kind, key = next(iter(other.items()))
    with pytest.raises(ValueError, match=f"{kind} embeddings.*'{kind[0]}1' there, {key!r} wanted"):
        fill(tmp_path, range(3), **other)


def test_bad_samples_are_refused(tmp_path):
    writer = fill(tmp_path, range(2))
    image, text, _ = rows_of(1)
    with pytest.raises(ValueError, match="'s1' occurs twice"):
        writer.add('s1', image, text)
    with pytest.raises(ValueError, match=r'\(rows, 6\), got \(2, 5\)'):
        writer.add('new', np.zeros((2, 5)), text)
    for value in (np.nan, 1e6):
        with pytest.raises(ValueError, match='half precision'):
            writer.add('new', np.full((1, DIM), value), text)
    with pytest.raises(ValueError, match='shard_size'):
        EmbeddingWriter(tmp_path, content(), 0)
    writer.flush()
    assert len(EmbeddingCache(tmp_path)) == 2


def test_bad_caches_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match='precompute_embeddings'):
        EmbeddingCache(tmp_path)
    fill(tmp_path, range(2))
    with pytest.raises(SampleError, match='no complete shard'):
        EmbeddingCache(tmp_path)
    fill(tmp_path, range(6)).flush()
    cache = EmbeddingCache(tmp_path)
    with pytest.raises(SampleError, match="no embeddings of the sample 's9'"):
        cache.read(record(9))
    changed = dict(record(5), caption=['another text'])
    with pytest.raises(SampleError, match='caption of the sample .s5. has changed'):
        cache.read(changed)
    assert len(cache.read(dict(sample_id='s5'))[1]) == 2  # a record that carries no captions
    with pytest.raises(ValueError, match="i1-weights and t1-weights, 'x' is wanted"):
        cache.check_key('x')
    cache.check_key('t1-weights')
    path = tmp_path / '000000-image.npy'
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(SampleError, match='000000-image.npy is damaged.*000000'):
        EmbeddingCache(tmp_path).read(record(2))
    np.save(tmp_path / '000000-index.npy', np.zeros(3))
    with pytest.raises(SampleError, match='000000-index.npy is damaged'):
        EmbeddingCache(tmp_path)
    (tmp_path / 'embeddings.json').write_text('{"version": 7}')
    with pytest.raises(SampleError, match='version'):
        EmbeddingCache(tmp_path)


def test_two_runs_that_wrote_at_once_are_noticed(tmp_path):
    fill(tmp_path, range(4)).flush()
    for path in tmp_path.glob('000000-*'):
        (tmp_path / path.name.replace('000000', '000001')).write_bytes(path.read_bytes())
    with pytest.raises(SampleError, match='there twice'):
        EmbeddingCache(tmp_path)


def test_texts_of_the_first_source_that_has_any():
    record = dict(caption=['a', 'b'], clip_name='c', gt_label=1)
    assert texts_of(record, ['caption']) == (['a', 'b'], 'caption')
    assert texts_of(record, ['clip_name', 'caption']) == (['c'], 'clip_name')
    assert texts_of(record, ['class'], ('x', 'y')) == (['y'], 'class')
    assert texts_of(dict(gt_label=-1), ['clip_name', 'class'], ('x',)) == ([], 'clip_name')
    assert stable_hash('ab', 'c') != stable_hash('a', 'bc')
    assert stable_hash('a') == stable_hash('a') < 2**64


# ------------------------------------------------------------------ transforms


def load(folder, index, **pick):
    steps = [
        TRANSFORMS.build(dict(type='LoadEmbeddings', cache_dir=str(folder))),
        TRANSFORMS.build(dict(type='PickEmbeddings', **pick)),
    ]
    results = record(index)
    for step in steps:
        results = step(results)
    return results


def test_picks_from_the_cache(tmp_path):
    fill(tmp_path, range(12)).flush()
    results = load(tmp_path, 5, pick='mean')
    image, text, _ = rows_of(5)
    for rows, name in ((image, 'image'), (text, 'text')):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        assert results[f'{name}_embeds'].dtype == np.float32
        assert np.allclose(results[f'{name}_embeds'], unit.mean(0), atol=1e-3)
        assert results[f'has_{name}'] == 1
    assert np.allclose(load(tmp_path, 5, pick='first')['text_embeds'], text[0], atol=1e-3)
    assert results['embedding_key'] == 't1-weights'
    nothing = load(tmp_path, 0)  # neither a view nor a text
    assert nothing['has_image'] == nothing['has_text'] == 0
    assert np.array_equal(nothing['text_embeds'], np.zeros(DIM, np.float32))


def test_draws_by_the_given_probabilities():
    rows = np.eye(3, dtype=np.float16)
    record = dict(text_features=rows, text_weights=np.array([0.5, 0, 0.5]), image_features=rows)
    pick = TRANSFORMS.build(dict(type='PickEmbeddings'))
    drawn = [pick(dict(record)) for _ in range(300)]
    text = np.mean([d['text_embeds'] for d in drawn], axis=0)
    image = np.mean([d['image_embeds'] for d in drawn], axis=0)
    assert text[1] == 0 and abs(text[0] - 0.5) < 0.1
    assert np.abs(image - 1 / 3).max() < 0.1
    mean = TRANSFORMS.build(dict(type='PickEmbeddings', pick='mean'))(dict(record))
    assert np.allclose(mean['text_embeds'], [0.5, 0, 0.5])


@pytest.mark.parametrize(
    'record, message',
    [
        (dict(text_features=np.ones((2, 3)), text_weights=[1.0]), '2 probabilities'),
        (dict(text_features=np.ones((1, 3)), text_weights=[0.0]), '1 probabilities'),
        (dict(text_features=np.ones(3)), r'\(rows, D\)'),
        (dict(text_features=np.ones((1, 3)), image_features=np.ones((1, 4))), r'\[3, 4\]'),
        (dict(), 'set embed_dim'),
    ],
)
def test_bad_records(record, message):
    with pytest.raises(SampleError, match=message):
        TRANSFORMS.build(dict(type='PickEmbeddings'))(record)


def test_transforms_say_what_is_wrong_and_move_to_workers(tmp_path):
    with pytest.raises(ValueError, match='pick must be'):
        TRANSFORMS.build(dict(type='PickEmbeddings', pick='best'))
    fill(tmp_path, range(6)).flush()
    wrong = TRANSFORMS.build(dict(type='LoadEmbeddings', cache_dir=str(tmp_path), key='x'))
    with pytest.raises(ValueError, match="'x' is wanted"):
        wrong(record(3))
    right = TRANSFORMS.build(dict(type='LoadEmbeddings', cache_dir=str(tmp_path)))
    wanted = right(record(5))['text_features']
    copy = pickle.dumps(right)
    assert len(copy) < 1000  # without the index
    assert np.array_equal(pickle.loads(copy)(record(5))['text_features'], wanted)


def test_captions_become_tokens():
    pytest.importorskip('open_clip')
    model = dict(embed_dim=4, vision_cfg={}, text_cfg=dict(context_length=9))
    step = TRANSFORMS.build(dict(type='TokenizeCaption', model=model, pick='first'))
    found = step(dict(caption=['a chair', 'a bus']))
    assert found['text_tokens'].shape == (9,) and found['has_text'] == 1
    from open_clip import decode

    assert 'a chair' in decode(torch.from_numpy(found['text_tokens']))
    empty = step(dict(caption=[]))
    assert empty['has_text'] == 0 and empty['text_tokens'].shape == (9,)
    drawn = TRANSFORMS.build(dict(type='TokenizeCaption', model=model))
    seen = {tuple(drawn(dict(caption=['a chair', 'a bus']))['text_tokens']) for _ in range(30)}
    assert len(seen) == 2
    with pytest.raises(ValueError, match='image tower'):
        TRANSFORMS.build(dict(type='TokenizeCaption', model=dict(embed_dim=4)))(dict(caption=[]))
    with pytest.raises(ValueError, match='pick'):
        TRANSFORMS.build(dict(type='TokenizeCaption', model=model, pick='last'))


def test_index_is_plain_json(tmp_path):
    fill(tmp_path, range(4)).flush()
    assert json.loads((tmp_path / 'embeddings.json').read_text())['image']['key'] == 'i1'
    assert json.loads((tmp_path / '000000-ids.json').read_text()) == ['s0', 's1', 's2', 's3']
