from __future__ import annotations

import json

import numpy as np
import pytest

from mm3dpretrain.datasets import Cc0Objects
from mm3dpretrain.datasets.shard_writer import write_shards

from .test_shards import DIM, Records, ids, make_record, stream


def test_index(tmp_path):
    summary = write_shards(Records(), tmp_path, samples_per_shard=10, embedding_key='toy')
    assert (summary.samples, summary.shards, summary.failed) == (37, 4, [])
    index = json.loads((tmp_path / 'index.json').read_text())
    assert [entry['count'] for entry in index['shards']] == [10, 10, 10, 7]
    assert index['image_dim'] == index['text_dim'] == DIM
    assert index['embedding_key'] == 'toy' and index['gravity_axis'] == 'z'
    for entry in index['shards']:
        assert (tmp_path / entry['name']).stat().st_size == entry['bytes']


def test_interrupted_run_goes_on(tmp_path, monkeypatch):
    write_shards(Records(), tmp_path / 'whole', samples_per_shard=10)
    write_shards(Records(), tmp_path / 'part', samples_per_shard=10)
    # as a run leaves it that was killed in its second shard
    (tmp_path / 'part' / 'index.json').unlink()
    (tmp_path / 'part' / 'parts' / 'shard-000001.json').unlink()
    (tmp_path / 'part' / 'shard-000003.tar').unlink()
    kept = (tmp_path / 'part' / 'shard-000000.tar').stat().st_mtime_ns
    summary = write_shards(Records(), tmp_path / 'part', samples_per_shard=10)
    assert (summary.samples, summary.kept) == (37, 2)
    assert (tmp_path / 'part' / 'shard-000000.tar').stat().st_mtime_ns == kept
    for path in sorted((tmp_path / 'whole').glob('*.tar')):
        assert path.read_bytes() == (tmp_path / 'part' / path.name).read_bytes()


def test_processes_write_the_same(tmp_path):
    write_shards(Records(), tmp_path / 'one', samples_per_shard=10)
    write_shards(Records(), tmp_path / 'two', samples_per_shard=10, workers=2)
    for path in sorted((tmp_path / 'one').glob('*.tar')):
        assert path.read_bytes() == (tmp_path / 'two' / path.name).read_bytes()


def test_order(tmp_path):
    write_shards(Records(), tmp_path / 'kept', samples_per_shard=10, seed=None)
    assert ids(stream(tmp_path / 'kept', shuffle=False)) == [f's{i}' for i in range(37)]
    write_shards(Records(), tmp_path / 'mixed', samples_per_shard=10)
    mixed = ids(stream(tmp_path / 'mixed', shuffle=False))
    assert mixed != sorted(mixed) and len(set(mixed)) == 37


def test_other_settings_are_refused(tmp_path):
    write_shards(Records(), tmp_path, samples_per_shard=10)
    with pytest.raises(ValueError, match='samples_per_shard'):
        write_shards(Records(), tmp_path, samples_per_shard=5)
    with pytest.raises(ValueError, match='ids'):
        write_shards(Records(count=30), tmp_path, samples_per_shard=10)


def test_duplicated_ids_are_refused(tmp_path):
    with pytest.raises(ValueError, match="1 sample ids occur more than once.*'s3'"):
        write_shards(Records(names={5: 's3'}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_broken_samples_are_left_out_and_told(tmp_path):
    summary = write_shards(Records(broken=(3, 20)), tmp_path, samples_per_shard=10)
    assert summary.samples == 35
    assert sorted(summary.failed) == ['s20 is broken', 's3 is broken']
    assert len(set(ids(stream(tmp_path)))) == 35
    with pytest.raises(ValueError, match='no sample could be written'):
        write_shards(Records(count=3, broken=(0, 1, 2)), tmp_path / 'none')


class Mixed(Records):
    def __getitem__(self, i):
        record = make_record(int(i))
        return dict(record, gravity_axis='y') if int(i) == 7 else record


class Bare(Records):
    def __getitem__(self, i):
        record = make_record(int(i))
        del record['point_channels']
        return record


def test_samples_that_do_not_fit_together(tmp_path):
    summary = write_shards(Mixed(), tmp_path / 'mixed')
    assert 'gravity_axis' in summary.failed[0]
    assert not (tmp_path / 'mixed' / 'index.json').exists()
    summary = write_shards(Bare(), tmp_path / 'bare')
    assert 'LoadPoints' in summary.failed[0]


def test_single_precision(tmp_path):
    write_shards(Records(count=2), tmp_path, half=False)
    found = {s['sample_id']: s for s in stream(tmp_path)}
    np.testing.assert_array_equal(found['s1']['points'], make_record(1)['points'])


def test_real_objects_go_through_shards(data_root, tmp_path):
    source = dict(
        data_root=str(data_root / 'cc0_objects'),
        cache_dir=str(tmp_path / 'cache'),
        indices=6,
        pipeline=[dict(type='LoadPoints', attributes=['rgb'])],
    )
    objects = Cc0Objects(**source)
    write_shards(objects, tmp_path / 'shards', samples_per_shard=4)
    pipeline = [
        dict(type='LoadPoints', attributes=['rgb']),
        dict(type='SamplePoints', num_points=128),
        dict(type='NormalizePoints'),
        dict(type='PickEmbeddings', embed_dim=DIM),
        dict(type='PackTriplets'),
    ]
    plain = {sample['sample_id']: sample for sample in stream(tmp_path / 'shards')}
    for sample in objects:
        found = plain[sample['sample_id']]
        np.testing.assert_allclose(found['points'], sample['points'], atol=6e-4)
        assert found['caption'] == sample['caption'] and found['gravity_axis'] == 'y'
    packed = list(stream(tmp_path / 'shards', pipeline=pipeline))
    assert len(packed) == 6
    assert all(sample['inputs']['points'].shape == (128, 6) for sample in packed)
    assert all(sample['inputs']['has_text'] == 0 for sample in packed)
