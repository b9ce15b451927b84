from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.datasets.teacher_cache import (
    feature_file,
    open_cache,
    read_features,
    read_index,
    write_features,
)
from mm3dpretrain.registry import TRANSFORMS
from mm3dpretrain.structures import PretrainDataSample

CONTENT = dict(key='abc', image_size=(4, 6), teacher=dict(type='X'))


def features(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(3, 2, 3)), rng.normal(size=(5, 1, 2))]


def test_round_trip_in_half_precision(tmp_path):
    path = feature_file(tmp_path, 'scene0000_00', '12')
    write_features(path, features())
    found = read_features(path)
    assert [m.dtype for m in found] == [np.float16] * 2
    for ours, theirs in zip(found, features()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert [p.name for p in path.parent.iterdir()] == ['12.npz']


def test_refuses_what_does_not_fit(tmp_path):
    path = tmp_path / 's' / '1.npz'
    with pytest.raises(ValueError, match='half precision'):
        write_features(path, [np.full((1, 1, 1), 1e6)])
    assert not path.exists()
    for names in (('..', '1'), ('s', '../1'), ('/s', '1')):
        with pytest.raises(ValueError, match='no names in a cache'):
            feature_file(tmp_path, *names)


def test_belongs_to_one_teacher(tmp_path):
    assert open_cache(tmp_path / 'a', CONTENT) == tmp_path / 'a'
    open_cache(tmp_path / 'a', CONTENT)
    assert read_index(tmp_path / 'a')['image_size'] == (4, 6)
    with pytest.raises(ValueError, match='of another teacher'):
        open_cache(tmp_path / 'a', dict(CONTENT, key='xyz'))
    with pytest.raises(FileNotFoundError, match='precompute_teacher_features'):
        read_index(tmp_path / 'b')
    (tmp_path / 'a' / 'teacher.json').write_text('{')
    with pytest.raises(SampleError, match='is damaged'):
        read_index(tmp_path / 'a')


def packed(size=(4, 6)):
    sample = PretrainDataSample()
    for name, value in dict(sample_id='s/0-1', scene='s', frame_ids=['0', '1']).items():
        sample.set_field(value, name, field_type='metainfo')
    return dict(inputs=dict(img=torch.zeros(2, 3, *size)), data_samples=sample)


def test_transform_puts_them_beside_the_views(tmp_path):
    transform = TRANSFORMS.build(dict(type='LoadTeacherFeatures', cache_dir=str(tmp_path)))
    with pytest.raises(FileNotFoundError, match='precompute_teacher_features'):
        transform(packed())
    open_cache(tmp_path, CONTENT)
    for frame in (0, 1):
        write_features(feature_file(tmp_path, 's', str(frame)), features(frame))
    out = transform(packed())
    assert out['inputs']['teacher_0'].shape == (2, 3, 2, 3)
    assert out['inputs']['teacher_1'].dtype == torch.float16
    expected = torch.tensor(features(1)[1]).half()
    assert torch.equal(out['inputs']['teacher_1'][1], expected)
    assert out['data_samples'].teacher_key == 'abc'
    with pytest.raises(SampleError, match='pictures of .6, 4.'):
        transform(packed((6, 4)))


def test_missing_and_damaged_files(tmp_path):
    open_cache(tmp_path, CONTENT)
    path = feature_file(tmp_path, 's', '0')
    with pytest.raises(SampleError, match='does not exist'):
        read_features(path)
    write_features(path, features())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SampleError, match='is damaged'):
        read_features(path)


def test_pick_view():
    results = dict(
        img=np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3),
        depth=np.arange(24.0).reshape(2, 3, 4),
        intrinsics=np.stack([np.eye(3), 2 * np.eye(3)]),
        img_paths=['a', 'b'],
    )
    out = TRANSFORMS.build(dict(type='PickView', view=1))(dict(results))
    assert np.array_equal(out['img'], results['img'][1]) and out['img_path'] == 'b'
    assert np.array_equal(out['gt_depth'], results['depth'][1]) and out['cam2img'][0, 0] == 2
    drawn = {TRANSFORMS.build(dict(type='PickView'))(dict(results))['img_path'] for _ in range(30)}
    assert drawn == {'a', 'b'}
