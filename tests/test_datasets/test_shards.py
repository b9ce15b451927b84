from __future__ import annotations

import json
import logging
import shutil
import tarfile
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from mm3dpretrain.datasets import SampleError, ShardedTriplets
from mm3dpretrain.datasets.shard_index import read_shard_index
from mm3dpretrain.datasets.shard_io import BLOCK, decode_sample, encode_sample
from mm3dpretrain.datasets.shard_writer import write_shards

DIM = 8
CHANNELS = ('x', 'y', 'z', 'r', 'g', 'b')


def make_record(i: int, num_points: int = 16) -> dict:
    rng = np.random.default_rng(i)
    record = dict(
        sample_id=f's{i}',
        synset='thing',
        model_id=f'm{i}',
        gt_label=i % 3,
        points=rng.uniform(-1, 1, (num_points, 6)).astype(np.float32),
        point_channels=CHANNELS,
        gravity_axis='z',
        normalization='none',
        caption=[],
    )
    if i % 2 == 0:
        record['image_features'] = rng.normal(size=(4, DIM)).astype(np.float32)
        record['image_weights'] = np.float32([0.5, 0.2, 0.2, 0.1])
    if i % 3 == 0:
        record['text_features'] = rng.normal(size=(2, DIM)).astype(np.float16)
        record['caption'] = [f'caption {i}', 'ünusual "text"']
    return record


class Records(BaseDataset):
    """Records as an augmentation-free pipeline leaves them; ``broken`` ones raise."""

    METAINFO = dict(classes=('a', 'b', 'c'))

    def __init__(self, count=37, broken=(), names=None):
        self.count, self.broken, self.names = count, broken, names
        super().__init__()

    def load_data_list(self):
        return [dict(sample_id=(self.names or {}).get(i, f's{i}')) for i in range(self.count)]

    def __getitem__(self, i):
        if int(i) in self.broken:
            raise SampleError(f's{int(i)} is broken')
        return make_record(int(i))


@pytest.fixture
def shards(tmp_path) -> Path:
    """37 samples in shards of 5."""
    write_shards(Records(), tmp_path / 'shards', samples_per_shard=5)
    return tmp_path / 'shards'


def stream(root, **kwargs) -> ShardedTriplets:
    root = str(root) if isinstance(root, Path) else root
    return ShardedTriplets(root, **{'num_epochs': 1, 'shuffle_buffer': 8, **kwargs})


def ids(samples) -> list[str]:
    return [sample['sample_id'] for sample in samples]


ALL = Counter(f's{i}' for i in range(37))


# --------------------------------------------------------------------------- content


def test_samples_come_back(shards):
    found = {sample['sample_id']: sample for sample in stream(shards)}
    assert len(found) == 37
    for i in (0, 1, 2, 3):
        record, sample = make_record(i), found[f's{i}']
        np.testing.assert_allclose(sample['points'], record['points'], atol=3e-4)
        assert sample['points'].dtype == np.float32
        for key in ('image_features', 'text_features'):
            assert (key in sample) == (key in record)
            if key in record:
                np.testing.assert_array_equal(sample[key], record[key].astype(np.float16))
        assert sample['caption'] == record['caption']
        assert sample['gt_label'] == i % 3 and sample['gravity_axis'] == 'z'
        assert sample['point_channels'] == CHANNELS
    np.testing.assert_allclose(found['s0']['image_weights'], [0.5, 0.2, 0.2, 0.1], rtol=1e-6)
    assert stream(shards).metainfo['classes'] == ('a', 'b', 'c')
    assert stream(shards).num_samples == len(stream(shards)) == 37
    assert len(stream(shards, num_epochs=None)) > 10**15


def test_other_readers_of_webdataset_understand_them(shards):
    wds = pytest.importorskip('webdataset')
    urls = [str(path) for path in sorted(shards.glob('*.tar'))]
    samples = list(wds.WebDataset(urls, shardshuffle=False, empty_check=False).decode())
    assert len(samples) == 37
    record = make_record(int(samples[0]['json']['sample_id'][1:]))
    np.testing.assert_array_equal(samples[0]['points.npy'], record['points'].astype(np.float16))


def test_pipeline_packs_them(shards):
    pipeline = [
        dict(type='LoadPoints', attributes=['rgb']),
        dict(type='PickEmbeddings', embed_dim=DIM),
        dict(type='PackTriplets'),
    ]
    record = next(iter(stream(shards)))
    sample = next(iter(stream(shards, pipeline=pipeline)))
    assert sample['data_samples'].sample_id == record['sample_id']
    assert sample['inputs']['points'].shape == (16, 6)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(points=np.full((3, 6), 1e6)), 'too large'),
        (dict(points=np.full((3, 6), np.nan)), 'not finite'),
        (dict(points=None), 'no points'),
        (dict(image_weights=np.ones(3)), 'image_weights'),
        (dict(caption=['one']), '1 captions for 2'),
        (dict(text_features=np.ones(4)), 'rows'),
    ],
)
def test_samples_that_cannot_be_stored(changes, message):
    with pytest.raises(SampleError, match=message):
        encode_sample({**make_record(0), **changes})


def test_damaged_bytes_are_noticed():
    files = encode_sample(make_record(0))
    data = bytearray(files['image.npy'])
    data[-3] ^= 64
    with pytest.raises(SampleError, match='tar.*image.npy is damaged'):
        decode_sample({**files, 'image.npy': bytes(data)}, 'x.tar[3]')
    with pytest.raises(SampleError, match='KeyError'):
        decode_sample({key: files[key] for key in files if key != 'points.npy'}, 'x.tar[3]')


# --------------------------------------------------------------------------- order


def loader(dataset, workers, batch_size=4):
    return DataLoader(
        dataset, batch_size=batch_size, num_workers=workers, collate_fn=ids, drop_last=False
    )


@pytest.mark.parametrize('workers, ranks', [(0, 1), (0, 3), (2, 2), (3, 1)])
def test_every_sample_once_an_epoch(shards, workers, ranks):
    seen = Counter()
    for rank in range(ranks):
        dataset = stream(shards)
        dataset.rank, dataset.world_size = rank, ranks
        seen.update(name for batch in loader(dataset, workers) for name in batch)
    assert seen == ALL


def test_epochs_differ_and_repeat_by_seed(shards):
    both = ids(stream(shards, num_epochs=2, seed=1))
    assert Counter(both[:37]) == Counter(both[37:]) == ALL
    assert both[:37] != both[37:]
    assert both == ids(stream(shards, num_epochs=2, seed=1))
    assert both != ids(stream(shards, num_epochs=2, seed=2))
    plain = ids(stream(shards, shuffle=False))
    assert plain != both[:37] and plain == ids(stream(shards, shuffle=False, seed=5))


def test_few_shards_feed_many_processes(tmp_path):
    write_shards(Records(), tmp_path, samples_per_shard=100)
    seen = Counter(name for batch in loader(stream(tmp_path), 3) for name in batch)
    assert seen == ALL
    dataset = stream(tmp_path)
    dataset.rank, dataset.world_size = 0, 50
    with pytest.raises(ValueError, match='37 samples for 50'):
        next(iter(dataset))


@pytest.mark.parametrize('workers, stop', [(0, 1), (0, 7), (0, 25), (2, 7), (2, 24)])
def test_resumed_stream_is_the_uninterrupted_one(shards, workers, stop):
    def batches(first, last):
        dataset = stream(shards, num_epochs=None, seed=4, pipeline=[DrawNoise()])
        dataset.start_at(first, 4)
        found = iter(DataLoader(dataset, 4, num_workers=workers, collate_fn=list))
        return [next(found) for _ in range(first, last)]

    whole = batches(0, 30)
    assert batches(stop, 30) == whole[stop:]


class DrawNoise:
    """What a random transform draws is part of the comparison."""

    def __call__(self, record):
        return record['sample_id'], float(np.random.rand()), float(torch.rand(()))


def test_skipping_decodes_nothing(shards, monkeypatch):
    calls = []
    monkeypatch.setattr(
        'mm3dpretrain.datasets.shards.decode_sample',
        lambda files, source: calls.append(source) or decode_sample(files, source),
    )
    dataset = stream(shards)
    dataset.start_at(6, 5)
    assert len(list(dataset)) == 7 == len(calls)


# --------------------------------------------------------------------------- damage


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        members = {member.name: member for member in tar.getmembers()}
    if how == 'header':
        offset = members['000001.points.npy'].offset
        data[offset : offset + BLOCK] = bytes(range(256)) * 2
    elif how == 'zeros':
        start, stop = members['000001.points.npy'].offset, members['000002.json'].offset
        data[start:stop] = bytes(stop - start)
    elif how == 'content':
        data[members['000002.points.npy'].offset_data + 200] ^= 255
    elif how == 'truncated':
        data = data[: members['000003.json'].offset]
    elif how == 'gone':
        path.unlink()
        return
    path.write_bytes(data)


@pytest.mark.parametrize(
    'how, lost, workers',
    [
        ('header', 1, 0),
        ('zeros', 2, 0),
        ('content', 1, 0),
        ('truncated', 2, 0),
        ('truncated', 2, 2),
        ('gone', 5, 0),
    ],
)
def test_damage_costs_the_damaged_samples_only(shards, how, lost, workers):
    expected = ids(stream(shards))
    damage(shards / 'shard-000002.tar', how)
    dataset = stream(shards)
    seen = [name for batch in loader(dataset, workers) for name in batch]
    assert len(set(seen)) == 37 - lost
    # another sample takes the place of each, so the length stays
    assert len(seen) == 37
    if workers == 0:
        assert dataset.broken == {str(shards / 'shard-000002.tar'): lost}
        assert sum(a != b for a, b in zip(seen, expected)) == lost


def test_damage_is_told_once_for_a_shard(shards):
    damage(shards / 'shard-000002.tar', 'truncated')
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    dataset = stream(shards, num_epochs=3)
    list(dataset)
    logger.removeHandler(handler)
    told = [text for text in records if 'shard-000002.tar' in text]
    assert len(told) == 1 and 'cannot read 1 samples' in told[0]
    assert sum(dataset.broken.values()) == 6


def test_resuming_across_damage(shards):
    damage(shards / 'shard-000002.tar', 'truncated')

    def run(first):
        dataset = stream(shards, num_epochs=None, seed=2)
        dataset.start_at(first, 5)
        found = iter(dataset)
        return ids(next(found) for _ in range(5 * (20 - first)))

    whole = run(0)
    for first in (1, 4, 9):
        assert run(first) == whole[5 * first :]


def test_raise_on_error(shards):
    damage(shards / 'shard-000001.tar', 'content')
    with pytest.raises(SampleError, match=r'shard-000001\.tar.*damaged'):
        list(stream(shards, on_error='raise'))
    damage(shards / 'shard-000001.tar', 'gone')
    with pytest.raises(SampleError, match=r'shard-000001\.tar'):
        list(stream(shards, on_error='raise'))


def test_all_shards_gone_is_an_end(shards):
    for path in shards.glob('*.tar'):
        path.unlink()
    with pytest.raises(RuntimeError, match='no readable sample'):
        next(iter(stream(shards, num_epochs=None)))


def test_broken_pipeline_takes_another(shards):
    def refuse(record):
        if record['sample_id'] in ('s3', 's4'):
            raise ValueError('no')
        return record

    dataset = stream(shards, pipeline=[refuse])
    seen = ids(dataset)
    assert len(seen) == 37 and set(seen) == set(ALL) - {'s3', 's4'}
    assert sum(dataset.broken.values()) == 2


# --------------------------------------------------------------------------- where shards lie


def test_patterns_lists_and_urls(shards, tmp_path):
    some = f'{shards}/shard-{{000001..000003}}.tar'
    assert read_shard_index(some).counts.tolist() == [5, 5, 5]
    assert len(ids(stream(some))) == 15
    both = [f'{shards}/shard-000000.tar', some]
    assert read_shard_index(both).num_samples == 20
    assert Counter(ids(stream(f'file:{shards}'))) == ALL
    piped = f'pipe:cat {shards}/shard-{{000000..000007}}.tar'
    assert Counter(ids(stream(piped, index=f'{shards}/index.json'))) == ALL
    with pytest.raises(ValueError, match='shard-000009'):
        stream(f'{shards}/shard-{{000001..000009}}.tar')
    with pytest.raises(ValueError, match='named twice'):
        stream([some, some])


def test_served_over_http(shards):
    if shutil.which('curl') is None:
        pytest.skip('webdataset opens http with curl, which is not installed')

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(shards)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f'http://127.0.0.1:{server.server_address[1]}'
        assert Counter(ids(stream(address))) == ALL
        (shards / 'shard-000002.tar').unlink()
        dataset = stream(address)
        assert len(set(ids(dataset))) == 32
        assert list(dataset.broken.values()) == [5]
    finally:
        server.shutdown()
        server.server_close()


def test_no_index(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'make_shards\.py'):
        stream(tmp_path)
    (tmp_path / 'index.json').write_text('{"version": 99}')
    with pytest.raises(SampleError, match='version 99'):
        stream(tmp_path)


def test_sets_that_do_not_fit(shards, tmp_path):
    index = json.loads((shards / 'index.json').read_text())
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'index.json').write_text(json.dumps({**index, 'embedding_key': 'another model'}))
    with pytest.raises(ValueError, match='embedding_key'):
        stream([str(shards), str(other)])
    (other / 'index.json').write_text(json.dumps({**index, 'classes': ['x']}))
    both = read_shard_index([str(shards), str(other)])
    assert both.num_samples == 74 and both.info['classes'] is None


def test_wrong_arguments(shards):
    with pytest.raises(ValueError, match='on_error'):
        stream(shards, on_error='ignore')
    with pytest.raises(ValueError, match='positive'):
        stream(shards, shuffle_buffer=0)
    with pytest.raises(ValueError, match='batch -1'):
        stream(shards).start_at(-1, 4)
