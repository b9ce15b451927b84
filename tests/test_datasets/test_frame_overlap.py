"""Overlap of frames against a naive loop, its cache, and the choice of view tuples."""

from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.datasets import ScanNetFrames, SevenScenesFrames
from mm3dpretrain.datasets import frame_overlap as module
from mm3dpretrain.datasets.frame_files import read_checked_depth
from mm3dpretrain.datasets.frame_overlap import (
    OverlapSettings,
    choose_tuples,
    measure_overlap,
    pair_overlap,
    scan_overlap,
)
from tests.frame_sets import write_exported

SETTINGS = OverlapSettings(1, 0.05, (0.1, 10.0))


def frames_of(root) -> list[dict]:
    dataset = ScanNetFrames(root, lazy_init=True)
    return dataset.prepare_scan('a', dataset.read_scan('scene0000_00')).frames


def naive_share(source: dict, target: dict, stride: int, tolerance: float) -> float:
    """Pixel after pixel, in double precision."""
    depth, other = (read_checked_depth(f, (0.1, 10.0)) for f in (source, target))
    world2cam = np.linalg.inv(target['cam2world'])
    total = seen = 0
    for i in range(stride // 2, depth.shape[0], stride):
        for j in range(stride // 2, depth.shape[1], stride):
            z = float(depth[i, j])
            if z == 0:
                continue
            total += 1
            ray = np.linalg.inv(source['cam2img']) @ [j + 0.5, i + 0.5, 1]
            world = source['cam2world'] @ [*(ray * z), 1]
            camera = (world2cam @ world)[:3]
            if camera[2] <= 0:
                continue
            u, v, _ = target['cam2img'] @ camera / camera[2]
            row, column = int(np.floor(v)), int(np.floor(u))
            if 0 <= row < other.shape[0] and 0 <= column < other.shape[1]:
                measured = float(other[row, column])
                seen += measured > 0 and abs(measured - camera[2]) < tolerance
    return seen / total


@pytest.mark.parametrize('stride', [2, 5])
def test_overlap_equals_a_naive_loop(tmp_path, stride):
    write_exported(tmp_path, num=4, shift=0.5)
    frames = frames_of(tmp_path)
    share = scan_overlap(frames, SETTINGS._replace(stride=stride)).share
    naive = [[naive_share(a, b, stride, 0.05) for b in frames] for a in frames]
    # single precision may put a pixel on the other side of a border
    np.testing.assert_allclose(share, naive, atol=2.5 / (12 * 16 if stride == 5 else 30 * 40))
    assert np.all(np.diag(share) > 0.999)
    # neighbours see much of each other, and the directions differ
    assert share[0, 1] > 0.5 and share[0, 3] < share[0, 1]
    assert np.abs(share - share.T).max() > 0.01


def test_grid_is_close_to_all_pixels(data_root, tmp_path):
    dataset = SevenScenesFrames(
        data_root / 'rgbd_7scenes', split='all', lazy_init=True, frame_range=(None, 6)
    )
    frames = dataset.prepare_scan('frames', dataset.read_scan('frames')).frames
    exact = scan_overlap(frames, SETTINGS).share
    grid = scan_overlap(frames, SETTINGS._replace(stride=8)).share
    assert exact.min() < 0.9
    assert np.abs(grid - exact).max() < 0.02


def test_occluded_pixels_do_not_count(tmp_path):
    write_exported(tmp_path, num=2, shift=0.5)
    frames = frames_of(tmp_path)
    before = scan_overlap(frames, SETTINGS).share[0, 1]
    # something stands before the right half of the second camera
    import cv2

    path = frames[1]['depth_path']
    depth = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    depth[:, 40:] = 500
    cv2.imwrite(path, depth)
    after = scan_overlap(frames, SETTINGS).share[0, 1]
    assert 0 < after < before - 0.2


def test_cache(tmp_path, monkeypatch):
    write_exported(tmp_path, num=5, shift=0.5)
    frames = frames_of(tmp_path)
    monkeypatch.setattr(module, 'ROWS', 2)
    monkeypatch.setattr(module, 'SMALL', 0)
    cache = tmp_path / 'cache'
    scans = {'a': frames, 'b': frames[:3]}
    first = measure_overlap(scans, SETTINGS, cache, workers=2)
    np.testing.assert_array_equal(first['a'].share, scan_overlap(frames, SETTINGS).share)
    assert first['b'].share.shape == (3, 3)

    def fail(*_, **__):
        raise AssertionError('measured again')

    monkeypatch.setattr(module, 'run_jobs', fail)
    again = measure_overlap(scans, SETTINGS, cache)
    np.testing.assert_array_equal(again['a'].share, first['a'].share)
    # another setting, or another file, is another key
    with pytest.raises(AssertionError, match='measured again'):
        measure_overlap(scans, SETTINGS._replace(depth_tol=0.1), cache)
    moved = [dict(frames[0], cam2world=np.eye(4)), *frames[1:]]
    with pytest.raises(AssertionError, match='measured again'):
        measure_overlap({'a': moved}, SETTINGS, cache)
    monkeypatch.undo()
    # little is measured here, and is the same
    own = measure_overlap(scans, SETTINGS, tmp_path / 'own')
    np.testing.assert_array_equal(own['a'].share, first['a'].share)
    # a file that is broken, or was removed, is made again
    files = sorted(cache.glob('overlap-*.npz'))
    files[0].write_bytes(b'')
    files[1].unlink()
    healed = measure_overlap(scans, SETTINGS, cache, workers=1)
    np.testing.assert_array_equal(healed['a'].share, first['a'].share)


def test_tuples():
    share = np.array(
        [[1, 0.5, 0.2, 0], [0.4, 1, 0.9, 0], [0.8, 0.35, 1, 0.3], [0, 0, 0.31, 1]], np.float32
    )
    np.testing.assert_array_equal(pair_overlap(share), np.minimum(share, share.T))
    assert choose_tuples(share, 2, 0.3, None, 0) == [(0, 1), (1, 2), (2, 3)]
    assert choose_tuples(share, 2, 0.36, None, 0) == [(0, 1)]
    assert choose_tuples(share, 2, 0.95, None, 0) == []
    assert choose_tuples(share, 1, 0.3, None, 0) == [(0,), (1,), (2,), (3,)]
    two = choose_tuples(share, 2, 0.3, 2, 0)
    assert len(two) == 2 and set(two) < {(0, 1), (1, 2), (2, 3)}
    assert two == choose_tuples(share, 2, 0.3, 2, 0)
    assert len({tuple(choose_tuples(share, 2, 0.3, 1, seed)) for seed in range(20)}) == 3
    ((a, b, c, d),) = choose_tuples(share, 4, 0.3, None, 0)
    assert {(a, b), (c, d)} <= {(0, 1), (1, 2), (2, 3)} and (a, b) != (c, d)
    # one pair is repeated where there are too few
    assert choose_tuples(share, 4, 0.36, None, 0) == [(0, 1, 0, 1)]
