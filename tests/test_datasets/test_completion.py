"""Completion sets: PCD files, PCN's layout, and the protocol of ShapeNet-55."""

import json

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.pcd_io import read_pcd
from mm3dpretrain.datasets.samplers import SeededIndex
from mm3dpretrain.registry import DATASETS

HEADER = """# .PCD v.7 - Point Cloud Data file format
VERSION 0.7
FIELDS {fields}
SIZE {sizes}
TYPE {kinds}
COUNT {counts}
WIDTH {n}
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS {n}
DATA {data}
"""
POINTS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


def header(data, n=40, fields='x y z', sizes='4 4 4', kinds='F F F', counts='1 1 1'):
    return HEADER.format(fields=fields, sizes=sizes, kinds=kinds, counts=counts, n=n, data=data)


def lzf_compress(data: bytes) -> bytes:
    """A slow LZF: the longest back-reference of a greedy search, else literals."""
    out, literals, position = bytearray(), bytearray(), 0

    def flush():
        while literals:
            run = bytes(literals[:32])
            out.extend([len(run) - 1, *run])
            del literals[:32]

    while position < len(data):
        best, where = 0, 0
        for start in range(max(0, position - 300), position):
            length = 0
            while (
                length < 264
                and position + length < len(data)
                and data[start + length] == data[position + length]
            ):
                length += 1
            if length > best:
                best, where = length, start
        if best < 3:
            literals.append(data[position])
            position += 1
            continue
        flush()
        offset, length = position - where - 1, best - 2
        if length < 7:
            out.extend([(length << 5) | (offset >> 8), offset & 255])
        else:
            out.extend([(7 << 5) | (offset >> 8), length - 7, offset & 255])
        position += best
    flush()
    return bytes(out)


def write_pcd(path, kind, points=POINTS):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == 'ascii':
        rows = '\n'.join(' '.join(f'{v:.8g}' for v in row) for row in points)
        path.write_text(header('ascii', len(points)) + rows + '\n')
    elif kind == 'binary':
        path.write_bytes(header('binary', len(points)).encode() + points.tobytes())
    else:
        raw = points.T.tobytes()
        packed = lzf_compress(raw)
        sizes = np.array([len(packed), len(raw)], '<u4').tobytes()
        path.write_bytes(header('binary_compressed', len(points)).encode() + sizes + packed)


@pytest.mark.parametrize('kind', ['ascii', 'binary', 'binary_compressed'])
def test_pcd_round_trip(kind, tmp_path):
    path = tmp_path / 'a.pcd'
    points = np.repeat(POINTS[:8], 5, axis=0).copy()  # repetitions, so that references occur
    points[7:30, 2] = 0.5
    write_pcd(path, kind, points)
    np.testing.assert_allclose(read_pcd(path), points, rtol=1e-6)


def test_lzf_by_hand(tmp_path):
    """The bytes 'abcabcabcabc': three literals, then a reference of 9 that overlaps itself."""
    from mm3dpretrain.datasets.pcd_io import _lzf_decompress

    assert _lzf_decompress(bytes([2, *b'abc', 7 << 5, 0, 2]), 12) == b'abc' * 4
    assert lzf_compress(b'abc' * 4) == bytes([2, *b'abc', 7 << 5, 0, 2])


def test_pcd_other_fields_and_holes(tmp_path):
    record = np.zeros(5, dtype=[('pad', 'u1', (4,)), ('x', '<f8'), ('y', '<f8'), ('z', '<f8'),
                                ('rgb', '<u4')])  # fmt: skip
    for axis, name in enumerate('xyz'):
        record[name] = POINTS[:5, axis]
    record['x'][3] = np.nan  # an empty pixel of an organised cloud
    path = tmp_path / 'a.pcd'
    text = header('binary', 5, '_ x y z rgb', '1 8 8 8 4', 'U F F F U', '4 1 1 1 1')
    path.write_bytes(text.encode() + record.tobytes())
    np.testing.assert_allclose(read_pcd(path), POINTS[[0, 1, 2, 4]])


@pytest.mark.parametrize(
    'content, message',
    [
        (b'ply\nformat', 'no DATA line'),
        (header('ascii', fields='x y q').encode(), 'x, y and z wanted'),
        (header('ascii', sizes='4 4').encode(), 'broken PCD header'),
        (header('ascii', kinds='F F Q').encode(), 'broken PCD header'),
        (header('zip').encode(), "DATA 'zip'"),
        (header('ascii').encode() + b'1 2 3\n', 'truncated, 40 points announced, 1 there'),
        (header('ascii', 1).encode() + b'1 2 a\n', 'not a table'),
        (header('binary').encode() + bytes(24), '40 points announced, 2 there'),
        (header('binary_compressed').encode() + bytes(4), 'no sizes'),
        (header('binary_compressed').encode() + bytes(12), 'truncated or broken'),
        (
            header('binary_compressed', 1).encode()
            + np.array([3, 12], '<u4').tobytes()
            + bytes([7 << 5, 0, 9]),
            'reference before the start',
        ),
        (header('binary', 0).encode(), 'an empty cloud'),
    ],
)
def test_broken_pcd_files_are_named(content, message, tmp_path):
    path = tmp_path / 'broken.pcd'
    path.write_bytes(content)
    with pytest.raises(SampleError, match=f'broken.pcd.*{message}'):
        read_pcd(path)
    with pytest.raises(SampleError, match='cannot read'):
        read_pcd(tmp_path / 'none.pcd')


# ---------------------------------------------------------------- PCN


PAIR = [
    dict(type='LoadCompletionPair'),
    dict(type='SamplePoints', num_points=16),
    dict(type='PackTriplets'),
]


@pytest.fixture
def pcn_root(tmp_path):
    """Two planes and a lamp; two partial clouds each, the second shifted by 10."""
    root = tmp_path / 'PCN'
    for synset, model_id in (('02691156', 'a'), ('02691156', 'b'), ('03636649', 'c')):
        write_pcd(root / 'train' / 'complete' / synset / f'{model_id}.pcd', 'binary')
        for view in range(2):
            path = root / 'train' / 'partial' / synset / model_id / f'{view:02d}.pcd'
            write_pcd(path, 'ascii', POINTS[:20] + 10 * view)
    return root


def pcn(root, **kwargs):
    kwargs = {'pipeline': PAIR, 'expected_count': None, **kwargs}
    return DATASETS.build(dict(type='PCN', data_root=str(root), **kwargs))


def test_pcn(pcn_root):
    dataset = pcn(pcn_root)
    assert len(dataset) == 3 and dataset.gt_labels.tolist() == [0, 0, 4]
    assert dataset.metainfo['classes'][4] == 'lamp'
    item = dataset[SeededIndex(0, 1)]
    assert item['inputs']['points'].shape == (16, 3)
    assert item['data_samples'].gt_points.shape == (40, 3)
    np.testing.assert_allclose(item['data_samples'].gt_points.numpy(), POINTS, rtol=1e-6)
    means = {round(float(dataset[SeededIndex(0, s)]['inputs']['points'].mean()) / 10)
             for s in range(12)}  # fmt: skip
    assert means == {0, 1}
    first = pcn(pcn_root, pipeline=[dict(type='LoadCompletionPair', which='first')])
    np.testing.assert_allclose(first[0]['points'], POINTS[:20], rtol=1e-6)


def test_pcn_lists_and_other_formats(pcn_root):
    entries = [dict(taxonomy_id='02691156', train=['b'], val=[], test=[])]
    (pcn_root / 'PCN.json').write_text(json.dumps(entries))
    assert [r['model_id'] for r in map(pcn(pcn_root).get_data_info, range(1))] == ['b']
    complete = pcn_root / 'train' / 'complete' / '02691156'
    (complete / 'b.pcd').unlink()
    with pytest.raises(FileNotFoundError, match='the first is b'):
        len(pcn(pcn_root))
    np.save(complete / 'b.npy', POINTS)
    item = pcn(pcn_root)[0]
    np.testing.assert_array_equal(item['data_samples'].gt_points.numpy(), POINTS)


def test_pcn_errors(pcn_root):
    with pytest.raises(FileNotFoundError, match='(?s)does not exist.*GRNet'):
        len(pcn(pcn_root, split='test'))
    with pytest.raises(ValueError, match='split'):
        pcn(pcn_root, split='all')
    folder = pcn_root / 'train' / 'partial' / '02691156' / 'a'
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(SampleError, match='the folder is empty'):
        pcn(pcn_root)[0]
    (pcn_root / 'PCN.json').write_text('[{}]')
    with pytest.raises(SampleError, match='not the list of PCN'):
        len(pcn(pcn_root))


# ---------------------------------------------------------------- ShapeNet-55


def test_shapenet55_completion(shapenet_root):
    pipeline = [
        dict(type='LoadPoints'),
        dict(type='RemoveNearest', viewpoint='corner'),
        dict(type='PackTriplets'),
    ]
    dataset = DATASETS.build(
        dict(
            type='ShapeNet55Completion',
            data_root=str(shapenet_root),
            split='test',
            expected_count=None,
            test_mode=True,
            pipeline=pipeline,
        )
    )
    assert len(dataset) == 2 * 8 * 3
    sizes, seen = set(), set()
    for i in range(24):
        sample = dataset[i]['data_samples']
        kept = len(dataset[i]['inputs']['points'])
        sizes.add((sample.difficulty, kept))
        seen.add(sample.sample_id.split('@')[1])
        assert len(sample.gt_points) == 256
    assert sizes == {('simple', 192), ('moderate', 128), ('hard', 64)} and len(seen) == 24
    first, again = dataset[5]['inputs']['points'], dataset[5]['inputs']['points']
    assert (first == again).all()  # nothing random
    with pytest.raises(ValueError, match='viewpoints'):
        DATASETS.build(dict(type='ShapeNet55Completion', num_viewpoints=9))
    with pytest.raises(ValueError, match='crop_ratios'):
        DATASETS.build(dict(type='ShapeNet55Completion', crop_ratios=(0.3,)))
