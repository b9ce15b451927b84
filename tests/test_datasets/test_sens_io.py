"""The .sens reader and the export of its frames."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError, ScanNetFrames
from mm3dpretrain.datasets.sens_io import SensFile, export_scan
from tests.frame_sets import CAMERA, SIZE, box_depth, picture, poses, sens_bytes
from tools.dataset_converters import export_scannet_frames


@pytest.fixture
def sens(tmp_path):
    def write(scene='scene0000_00', content=None, **kwargs):
        path = tmp_path / 'source' / scene / f'{scene}.sens'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sens_bytes(**kwargs) if content is None else content)
        return path

    return write


@pytest.mark.parametrize('depth_compression', [0, 1])
@pytest.mark.parametrize('color_compression', [0, 1, 2])
def test_read(sens, depth_compression, color_compression):
    path = sens(depth_compression=depth_compression, color_compression=color_compression)
    with SensFile(path) as file:
        assert len(file) == 6 and file.header.sensor == 'StructureSensor'
        assert file.header.color_size == file.header.depth_size == SIZE
        assert file.header.depth_scale == 1000
        np.testing.assert_allclose(file.header.intrinsic_color[:2, 2], CAMERA[:2, 2] - 0.5)
        frames = list(file.frames())
        assert [frame.number for frame in frames] == list(range(6))
        assert [frame.number for frame in file.frames(every=4)] == [0, 4]
    for frame, pose in zip(frames, poses()):
        if frame.number == 3:
            assert np.isneginf(frame.cam2world).all()
        else:
            np.testing.assert_allclose(frame.cam2world, pose, atol=1e-6)
        np.testing.assert_array_equal(frame.decode_depth(), np.rint(1000 * box_depth(pose)))
        error = np.abs(frame.decode_color().astype(int) - picture(pose))
        assert error.max() == 0 if color_compression != 2 else error.mean() < 4


def test_broken_files(sens, tmp_path):
    content = sens_bytes()
    whole = list(SensFile(sens()).frames())
    assert len(whole) == 6
    with pytest.raises(SampleError, match='cannot open'):
        SensFile(tmp_path / 'none.sens')
    with pytest.raises(SampleError, match='truncated in the header'):
        SensFile(sens(content=content[:100]))
    with pytest.raises(SampleError, match='version 3, only 4'):
        SensFile(sens(content=struct.pack('<I', 3) + content[4:]))
    with pytest.raises(SampleError, match='not a .sens file'):
        SensFile(sens(content=struct.pack('<IQ', 4, 1 << 40) + content[12:]))
    # in a picture, in the head of a frame; frames before it are read
    for cut in (len(content) - 500, len(content) - 8 - len(whole[5].color) - 5000):
        with SensFile(sens(content=content[:cut])) as file:
            got = []
            with pytest.raises(SampleError, match=r'truncated in frame \d of 6'):
                for frame in file.frames():
                    got.append(frame.number)
            assert got
    with SensFile(sens(content=content[: len(content) // 2])) as file:
        # frames that are skipped are missed too
        with pytest.raises(SampleError, match='truncated'):
            list(file.frames(every=6))
        with pytest.raises(ValueError, match='every must be'):
            list(file.frames(every=0))
    with pytest.raises(SampleError, match='compression 2 of colour and 2'):
        SensFile(sens(depth_compression=2))
    bad = whole[0]._replace(depth=b'no zlib')
    with pytest.raises(SampleError, match='frame 0: broken depth'):
        bad.decode_depth()
    with pytest.raises(SampleError, match='cannot decode the colour'):
        whole[0]._replace(color=b'no picture').decode_color()


def test_export_and_read_back(sens, tmp_path, capsys):
    sens()
    sens('scene0001_00', num=8)
    names = tmp_path / 'scannetv2_train.txt'
    names.write_text('scene0000_00\nscene0001_00\n')
    out = tmp_path / 'out'
    arguments = [str(tmp_path / 'source'), str(out), '--every', '1', '--workers', '2']
    assert export_scannet_frames.main([*arguments, '--lists', str(names)]) == 0
    assert '14 frames of 2 scans, 0 scans left out' in capsys.readouterr().out
    scan = out / 'scans' / 'scene0000_00'
    # the bytes of the stream, not compressed again
    with SensFile(tmp_path / 'source' / 'scene0000_00' / 'scene0000_00.sens') as file:
        assert (scan / 'color' / '0.jpg').read_bytes() == next(file.frames()).color
    dataset = ScanNetFrames(out, cache_dir=str(tmp_path / 'cache'), workers=1)
    assert len(dataset) > 3
    # frame 3 of each scan has lost its pose
    assert sorted(dataset.skipped) == ['scene0000_00/3', 'scene0001_00/3']
    assert 'tracking was lost' in dataset.skipped['scene0000_00/3']
    record = dataset.get_data_info(0)
    np.testing.assert_allclose(record['frames'][0]['cam2img'], CAMERA, atol=1e-5)
    np.testing.assert_allclose(record['frames'][0]['cam2world'], poses()[0], atol=1e-6)

    # a second run keeps what is complete, and makes again what is not
    stamp = (scan / 'frames.txt').stat().st_mtime_ns
    (out / 'scans' / 'scene0001_00' / 'frames.txt').unlink()
    assert export_scannet_frames.main(arguments) == 0
    assert (scan / 'frames.txt').stat().st_mtime_ns == stamp
    assert (out / 'scans' / 'scene0001_00' / 'frames.txt').is_file()
    with pytest.raises(ValueError, match='exported with every=1, not every=2'):
        export_scan(tmp_path / 'source' / 'scene0000_00' / 'scene0000_00.sens', scan, 2)


def test_export_goes_on_behind_a_truncated_file(sens, tmp_path, capsys):
    sens()
    sens('scene0001_00', content=sens_bytes()[:-3000])
    out = tmp_path / 'out'
    arguments = [str(tmp_path / 'source'), str(out), '--every', '2', '--workers', '1']
    assert export_scannet_frames.main(arguments) == 1
    captured = capsys.readouterr()
    assert '3 frames of 1 scans, 1 scans left out' in captured.out
    (line,) = [x for x in captured.err.splitlines() if 'is left out' in x]
    assert 'scene0001_00' in line and 'truncated in frame' in line
    assert [p.name for p in (out / 'scans').iterdir()] == ['scene0000_00']


def test_export_errors(tmp_path, capsys):
    assert export_scannet_frames.main([str(tmp_path), str(tmp_path / 'o')]) == 1
    assert 'error: no <scene>/<scene>.sens' in capsys.readouterr().err
    assert export_scannet_frames.main([str(tmp_path), str(tmp_path), '--every', '0']) == 1
    assert 'must be positive' in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        export_scannet_frames.main(['--help'])
    assert stop.value.code == 0
