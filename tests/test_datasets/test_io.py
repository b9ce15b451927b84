"""Readers of arrays, text, HDF5, pickles and pictures, with good and with bad files."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from mm3dpretrain.datasets.io import (
    SampleError,
    atomic_path,
    check_cloud,
    list_images,
    read_array_pickle,
    read_hdf5,
    read_image,
    read_npy,
    read_row,
    read_text_points,
)


def test_atomic_path_writes_all_or_nothing(tmp_path):
    target = tmp_path / 'deep' / 'a.npy'
    with atomic_path(target) as path:
        np.save(path, np.arange(3))
        assert not target.exists()
    assert np.load(target).tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError), atomic_path(target) as path:
        path.write_text('half')
        raise RuntimeError('killed')
    assert np.load(target).tolist() == [0, 1, 2]
    assert os.listdir(target.parent) == ['a.npy']


@pytest.mark.parametrize(
    'points, message',
    [
        (np.zeros((0, 3)), 'empty cloud'),
        (np.zeros((5, 2)), r'\(N, C\) with C >= 3'),
        (np.zeros(6), r'\(N, C\) with C >= 3'),
        ([['a', 'b', 'c']], 'not a numeric array'),
        (np.array([None, 'x'], dtype=object), 'not a numeric array'),
    ],
)
def test_check_cloud_refuses(points, message):
    with pytest.raises(SampleError, match=message):
        check_cloud(points, 'file.npy')


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_check_cloud_names_the_first_bad_row(value):
    points = np.zeros((5, 3))
    points[3, 1] = value
    with pytest.raises(SampleError, match=r'file.npy: 1 of 5 points.*row 3'):
        check_cloud(points, 'file.npy')


def test_check_cloud_overflow_is_not_hidden():
    with pytest.raises(SampleError, match='infinite'):
        check_cloud(np.full((2, 3), 1e300), 'file.npy')


@pytest.mark.parametrize('text', ['1 2 3\n4 5 6\n', '1,2,3\n4,5,6', '# x y z\n1\t2\t3\n\n4 5 6\n'])
def test_text(tmp_path, text):
    path = tmp_path / 'a.txt'
    path.write_text(text)
    points = read_text_points(path)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', 'empty cloud'),
        (b'# only a comment\n', 'empty cloud'),
        (b'1 2 3\n4 5\n', 'not a table'),
        (b'1 2 3\n4 five 6\n', 'not a table'),
        (b'1 2 3\n4 5 nan\n', 'NaN'),
        (b'1 2\n3 4\n', 'C >= 3'),
        (b'\x80\x04\x95\xff', 'as text'),
    ],
)
def test_broken_text(tmp_path, content, message):
    path = tmp_path / 'broken.txt'
    path.write_bytes(content)
    with pytest.raises(SampleError, match=f'broken.txt.*{message}'):
        read_text_points(path)


def test_npy_and_npz(tmp_path):
    points = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / 'a.npy', points)
    np.savez(tmp_path / 'one.npz', cloud=points)
    np.savez(tmp_path / 'two.npz', points=points, rgb=points + 1)
    for name in ('a.npy', 'one.npz', 'two.npz'):
        np.testing.assert_array_equal(read_npy(tmp_path / name), points)
    np.testing.assert_array_equal(read_npy(tmp_path / 'two.npz', 'rgb'), points + 1)
    with pytest.raises(SampleError, match=r"two.npz: no array 'normal'.*rgb"):
        read_npy(tmp_path / 'two.npz', 'normal')


def test_broken_npy(tmp_path):
    np.save(tmp_path / 'a.npy', np.zeros((100, 3)))
    content = (tmp_path / 'a.npy').read_bytes()
    (tmp_path / 'cut.npy').write_bytes(content[:1000])
    np.savez(tmp_path / 'a.npz', points=np.zeros((100, 3)))
    (tmp_path / 'cut.npz').write_bytes((tmp_path / 'a.npz').read_bytes()[:300])
    (tmp_path / 'text.npy').write_text('hello')
    np.savez_compressed(tmp_path / 'b.npz', points=np.random.rand(100, 3))
    flipped = bytearray((tmp_path / 'b.npz').read_bytes())
    flipped[500] ^= 0xFF
    (tmp_path / 'flipped.npz').write_bytes(flipped)
    (tmp_path / 'empty.npy').write_bytes(b'')
    names = ('cut.npy', 'cut.npz', 'flipped.npz', 'text.npy', 'empty.npy', 'missing.npy')
    for name in names:
        with pytest.raises(SampleError, match=name):
            read_npy(tmp_path / name)


class Evil:
    """An object whose pickle writes a file when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, 'w'))


def test_npy_with_code_is_refused(tmp_path):
    mark = tmp_path / 'executed'
    np.save(tmp_path / 'evil.npy', np.array([Evil(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(SampleError, match='evil.npy'):
        read_npy(tmp_path / 'evil.npy')
    assert not mark.exists()


def test_read_row_maps_the_file(tmp_path):
    stack = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    np.save(tmp_path / 'a.npy', stack)
    np.testing.assert_array_equal(read_row(tmp_path / 'a.npy', 2), stack[2])
    row = read_row(tmp_path / 'a.npy', 2)
    row[:] = 0  # a copy: the file stays
    np.testing.assert_array_equal(read_row(tmp_path / 'a.npy', 2), stack[2])
    with pytest.raises(SampleError, match='has 4 rows, row 4 wanted'):
        read_row(tmp_path / 'a.npy', 4)
    # a file that was made again is opened again
    (tmp_path / 'a.npy').unlink()
    np.save(tmp_path / 'a.npy', stack + 1)
    np.testing.assert_array_equal(read_row(tmp_path / 'a.npy', 2), stack[2] + 1)
    with pytest.raises(SampleError, match='missing.npy'):
        read_row(tmp_path / 'missing.npy', 0)


def test_hdf5(tmp_path):
    h5py = pytest.importorskip('h5py')
    path = tmp_path / 'a.h5'
    with h5py.File(path, 'w') as file:
        file['data'] = np.random.rand(50, 64, 3)
        file.create_group('label')
    (data,) = read_hdf5(path, ['data'])
    assert data.shape == (50, 64, 3)
    with pytest.raises(SampleError, match=r"a.h5: no array 'mask'.*data"):
        read_hdf5(path, ['data', 'mask'])
    with pytest.raises(SampleError, match="no array 'label'"):
        read_hdf5(path, ['label'])
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 100):
        cut = tmp_path / f'cut{size}.h5'
        cut.write_bytes(content[:size])
        with pytest.raises(SampleError, match=cut.name):
            read_hdf5(cut, ['data'])
    with pytest.raises(SampleError, match='missing.h5'):
        read_hdf5(tmp_path / 'missing.h5', ['data'])


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_array_pickle(tmp_path, protocol):
    clouds = [np.random.rand(4, 6).astype(np.float32) for _ in range(3)]
    content = [clouds, [np.array([1], np.int32), np.int64(2), 3], {'a': ('text', 1.5, None, True)}]
    path = tmp_path / 'a.dat'
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    loaded = read_array_pickle(path)
    np.testing.assert_array_equal(loaded[0], clouds)
    assert [int(np.squeeze(x)) for x in loaded[1]] == [1, 2, 3]
    assert loaded[2] == content[2]


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_pickle_with_code_is_refused_before_it_runs(tmp_path, protocol):
    mark = tmp_path / 'executed'
    path = tmp_path / 'evil.dat'
    content = [[np.zeros((4, 3)), Evil(mark)], [0]]
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(SampleError, match=r'evil.dat: refused.*open'):
        read_array_pickle(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    'payload',
    [
        b'cos\nsystem\n(S"true"\ntR.',
        b'cbuiltins\neval\n(S"1"\ntR.',
        b'cnumpy\nload\n(S"x"\ntR.',
        b'cnumpy.core.multiarray\nfromfile\n(S"x"\ntR.',
        b'c_codecs\nencode\n(Vabc\nVzlib\ntR.',
        b'c_codecs\ndecode\n(Vabc\nVzlib\ntR.',
    ],
)
def test_handmade_pickles_are_refused(tmp_path, payload):
    path = tmp_path / 'evil.pkl'
    path.write_bytes(payload)
    with pytest.raises(SampleError, match='refused'):
        read_array_pickle(path)


def test_truncated_pickle(tmp_path):
    content = pickle.dumps([[np.zeros((100, 3))], [1]])
    for size in (0, 1, 40, len(content) // 2, len(content) - 1):
        path = tmp_path / f'cut{size}.dat'
        path.write_bytes(content[:size])
        with pytest.raises(SampleError, match=path.name):
            read_array_pickle(path)


def test_image_modes(tmp_path):
    rgba = np.zeros((4, 5, 4), np.uint8)
    rgba[..., :3] = (10, 20, 30)
    rgba[0, 0, 3], rgba[1, 1, 3] = 255, 51
    Image.fromarray(rgba).save(tmp_path / 'rgba.png')
    image = read_image(tmp_path / 'rgba.png')
    assert image.shape == (4, 5, 3) and image.dtype == np.uint8
    assert image[0, 0].tolist() == [10, 20, 30]
    assert image[3, 3].tolist() == [255, 255, 255]
    assert image[1, 1].tolist() == [206, 208, 210]  # a fifth of the colour, the rest white
    assert read_image(tmp_path / 'rgba.png', (0, 0, 0))[3, 3].tolist() == [0, 0, 0]
    assert read_image(tmp_path / 'rgba.png', None)[3, 3].tolist() == [10, 20, 30]
    Image.fromarray(rgba[..., 0]).save(tmp_path / 'grey.png')
    assert read_image(tmp_path / 'grey.png')[2, 2].tolist() == [10, 10, 10]
    Image.fromarray(rgba[..., :3]).convert('P').save(tmp_path / 'palette.png')
    assert read_image(tmp_path / 'palette.png').shape == (4, 5, 3)


def test_broken_images(tmp_path):
    Image.fromarray(np.random.randint(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / 'a.png')
    content = (tmp_path / 'a.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(content[: len(content) // 2])
    (tmp_path / 'header.png').write_bytes(content[:20])
    (tmp_path / 'text.png').write_text('this is no picture')
    flipped = bytearray(content)
    flipped[200] ^= 0xFF
    (tmp_path / 'flipped.png').write_bytes(flipped)
    Image.fromarray(np.zeros((4, 4), np.int32)).save(tmp_path / 'depth.tiff')
    for name in ('cut.png', 'header.png', 'text.png', 'flipped.png', 'depth.tiff', 'missing.png'):
        with pytest.raises(SampleError, match=name):
            read_image(tmp_path / name)


def test_list_images_leaves_depth_out(tmp_path):
    for name in ('01.png', '00.png', 'x_depth0001.png', 'renderings.txt', 'a.JPG'):
        (tmp_path / name).touch()
    assert list_images(tmp_path) == ['00.png', '01.png', 'a.JPG']
    assert list_images(tmp_path / 'nowhere') == []


def test_npy_of_python_objects_is_read_without_running_code(tmp_path):
    path = tmp_path / 'shape.npy'
    np.save(path, {'xyz': np.ones((2, 3)), 'text': ['a']}, allow_pickle=True)
    loaded = read_array_pickle(path)
    assert loaded['text'] == ['a'] and loaded['xyz'].shape == (2, 3)
    objects = np.empty(2, object)
    objects[:] = [{'a': 1}, {'a': 2}]
    np.save(path, objects, allow_pickle=True)
    assert [entry['a'] for entry in read_array_pickle(path)] == [1, 2]
    np.save(path, np.arange(3))
    assert read_array_pickle(path).tolist() == [0, 1, 2]
