"""Which frames of a scan see the same surface: measured once, kept on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .caching import build_once, cache_name
from .frame_files import read_checked_depth
from .frame_matching import View, grid_points
from .io import READ_ERRORS, SampleError, atomic_path
from .worker_pool import Progress, default_workers, one_line, run_jobs

# Raise it when a change alters what is measured: older caches are then made again.
OVERLAP_VERSION = 1
ROWS = 16  # frames that one job measures against all others of its scan
SMALL = 1000  # pairs that are measured without other processes, whose start takes longer
HOURS = 24 * 3600.0


class OverlapSettings(NamedTuple):
    """How overlap is measured.

    Attributes:
        stride: every ``stride``-th row and column of a frame is looked at.
        depth_tol: largest difference of depths of one surface, in metres.
        depth_range: see :func:`~mm3dpretrain.datasets.frame_files.read_frame_depth`.
    """

    stride: int
    depth_tol: float
    depth_range: tuple[float, float]


class ScanOverlap(NamedTuple):
    """Overlap of the F frames of a scan.

    Attributes:
        share: (F, F) float32; ``share[i, j]`` is the share of the measured pixels of frame i that
            are seen in frame j. Rows and columns of frames that cannot be used are 0.
        broken: number of a frame -> why it cannot be used.
    """

    share: np.ndarray
    broken: dict[int, str]


def seen_share(
    points: np.ndarray, depth: np.ndarray, world2img: np.ndarray, depth_tol: float
) -> float:
    """Share of points that a frame sees.

    Args:
        points: (n, 3) in the world.
        depth: (H, W) of the frame.
        world2img: (3, 4) intrinsics times world-to-camera.
        depth_tol: a point is seen if its depth differs by less from that of its pixel.
    """
    x, y, z = (points @ world2img[:, :3].T + world2img[:, 3]).T
    height, width = depth.shape
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        u, v = x / z, y / z
    inside = np.flatnonzero((z > 1e-6) & (u >= 0) & (u < width) & (v >= 0) & (v < height))
    pixel = v[inside].astype(np.int64) * width + u[inside].astype(np.int64)
    measured = depth.ravel()[pixel]
    near = np.abs(z[inside] - measured) < depth_tol
    return float(np.count_nonzero(near & (measured > 0))) / len(points)


def depth_camera(frame: dict) -> np.ndarray:
    """Intrinsics (3, 3) of a frame's depth picture as stored."""
    return frame['cam2img'] if frame.get('depth_cam2img') is None else frame['depth_cam2img']


class _Loaded(NamedTuple):
    """Depth maps (None for broken frames), points on the grid, projections, errors of a scan."""

    depth: list
    points: list
    world2img: list
    broken: dict[int, str]


def _load(frames: Sequence[dict], settings: OverlapSettings) -> _Loaded:
    loaded = _Loaded([], [], [], {})
    for number, frame in enumerate(frames):
        depth = points = world2img = None
        try:
            depth = read_checked_depth(frame, settings.depth_range)
            extrinsic = np.linalg.inv(frame['cam2world'])
            view = View(depth, depth_camera(frame), extrinsic)
            points = grid_points(view, settings.stride).astype(np.float32)
            if not len(points):
                raise SampleError(f'{frame["depth_path"]}: hardly a pixel has a depth')
            world2img = (view.intrinsics @ extrinsic[:3]).astype(np.float32)
        except (SampleError, OSError) as error:
            loaded.broken[number] = one_line(error)
            depth = points = None
        loaded.depth.append(depth)
        loaded.points.append(points)
        loaded.world2img.append(world2img)
    return loaded


def _rows(loaded: _Loaded, start: int, stop: int, depth_tol: float) -> np.ndarray:
    share = np.zeros((stop - start, len(loaded.depth)), np.float32)
    for i in range(start, stop):
        for j, depth in enumerate(loaded.depth):
            if loaded.points[i] is not None and depth is not None:
                share[i - start, j] = seen_share(
                    loaded.points[i], depth, loaded.world2img[j], depth_tol
                )
    return share


def scan_overlap(frames: Sequence[dict], settings: OverlapSettings) -> ScanOverlap:
    """Overlap of all pairs of frames of one scan, in this process.

    Direction: ``share[i, j]`` takes the measured pixels of frame i on the grid, at their centres,
    and asks for each whether frame j measured the same depth (within ``depth_tol``) at the pixel
    that it falls on. The share is of the pixels of i; ``share[j, i]`` is another number.

    Args:
        frames: dicts with ``img_path``, ``depth_path``, ``depth_scale``, ``cam2img`` (3, 3),
            ``cam2world`` (4, 4) and, where it differs, ``depth_cam2img`` (3, 3).
        settings: grid and tolerance.
    """
    loaded = _load(frames, settings)
    return ScanOverlap(_rows(loaded, 0, len(frames), settings.depth_tol), loaded.broken)


# --------------------------------------------------------------------------- many scans


class _Job(NamedTuple):
    """Rows ``start`` to ``stop`` of the matrix of a scan."""

    key: str
    frames: Sequence[dict]
    settings: OverlapSettings
    start: int
    stop: int


_LAST: dict[str, _Loaded] = {}  # of a worker process: it takes several jobs of a scan in a row


def _measure(job: _Job) -> tuple[np.ndarray, dict[int, str]]:
    if job.key not in _LAST:
        _LAST.clear()
        _LAST[job.key] = _load(job.frames, job.settings)
    loaded = _LAST[job.key]
    return _rows(loaded, job.start, job.stop, job.settings.depth_tol), loaded.broken


def overlap_key(frames: Sequence[dict], settings: OverlapSettings) -> str:
    """Name of the cache file of a scan: everything that its overlap depends on."""
    return cache_name('overlap', version=OVERLAP_VERSION, **settings._asdict(), frames=[
        [_stamp(f['depth_path']), f['depth_scale'], f['cam2world'].tolist(),
         depth_camera(f).tolist(), 'depth_cam2img' in f, os.path.basename(f['img_path'])]
        for f in frames
    ])  # fmt: skip


def _stamp(path: str) -> list:
    try:
        status = os.stat(path)
    except OSError:
        return [os.path.basename(path)]
    return [os.path.basename(path), status.st_size, status.st_mtime_ns]


def measure_overlap(
    scans: dict[str, Sequence[dict]],
    settings: OverlapSettings,
    cache_dir: str | os.PathLike,
    workers: int | None = None,
) -> dict[str, ScanOverlap]:
    """Overlap of the frames of many scans, see :func:`scan_overlap`, measured once.

    Every scan has a file of its own, written when it is complete, so that a run that was stopped
    goes on where it was. Other processes that want the same wait.

    Args:
        scans: name -> frames.
        settings: grid and tolerance.
        cache_dir: where the files are kept.
        workers: processes; None for one a core.

    Raises:
        OSError: if ``cache_dir`` cannot be written.
        RuntimeError: if a process failed or was killed.
    """
    cache_dir = Path(cache_dir)
    keys = {name: overlap_key(frames, settings) for name, frames in scans.items()}
    paths = {name: cache_dir / f'{key}.npz' for name, key in keys.items()}
    found = {name: _read(path) for name, path in paths.items()}
    missing = [name for name, overlap in found.items() if overlap is None]
    if missing:
        # the folder is a mark that all are there, and its lock makes the other processes wait
        mark = cache_dir / cache_name('overlap-set', keys=sorted(keys[name] for name in missing))

        def build(_: Path) -> None:
            todo = [name for name in missing if _read(paths[name]) is None]
            _measure_all({name: scans[name] for name in todo}, keys, paths, settings, workers)

        if not build_once(mark, build) and any(_read(paths[name]) is None for name in missing):
            # somebody removed files and left the mark
            build(mark)
        found.update({name: _read(paths[name]) for name in missing})
    return found


def _measure_all(scans, keys, paths, settings, workers) -> None:
    total = sum(len(frames) ** 2 for frames in scans.values())
    if total <= SMALL:
        for name, frames in scans.items():
            _write(paths[name], scan_overlap(frames, settings))
        return
    jobs, parts = [], {}
    for name, frames in scans.items():
        starts = range(0, len(frames), ROWS)
        parts[keys[name]] = name, len(starts), {}
        jobs += [
            _Job(keys[name], frames, settings, start, min(start + ROWS, len(frames)))
            for start in starts
        ]
    progress, done = Progress(total), 0
    workers = max(1, min(workers or default_workers(), len(jobs)))
    for outcome in run_jobs(_measure, jobs, workers, timeout=HOURS, max_memory=16.0):
        job = outcome.job
        if outcome.error is not None:
            raise RuntimeError(f'overlap of {parts[job.key][0]}: {outcome.error}')
        name, count, rows = parts[job.key]
        rows[job.start], broken = outcome.value
        if len(rows) == count:
            share = np.concatenate([rows[start] for start in sorted(rows)])
            _write(paths[name], ScanOverlap(share, broken))
            del parts[job.key]
        done += (job.stop - job.start) * len(job.frames)
        progress.update(done)


def _write(path: Path, overlap: ScanOverlap) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            share=overlap.share,
            broken=np.array(list(overlap.broken), np.int64),
            reasons=np.array(list(overlap.broken.values()), np.str_),
        )


def _read(path: Path) -> ScanOverlap | None:
    """What a cache file has; None if it is missing or broken."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            broken = zip(arrays['broken'].tolist(), arrays['reasons'].tolist())
            return ScanOverlap(arrays['share'], dict(broken))
    except (KeyError, *READ_ERRORS):
        return None


# --------------------------------------------------------------------------- view tuples


def pair_overlap(share: np.ndarray) -> np.ndarray:
    """The smaller of both directions, (F, F) symmetric: each view has pixels to find in the other.

    PointContrast and Pri3D take the larger one, which lets a close-up go with a wide view of which
    it shows a tenth.
    """
    return np.minimum(share, share.T)


def choose_tuples(
    share: np.ndarray,
    num_views: int,
    min_overlap: float,
    max_tuples: int | None,
    seed: int,
) -> list[tuple[int, ...]]:
    """View tuples of a scan: views (0, 1), (2, 3), ... are partners with enough overlap.

    Args:
        share: (F, F) from :class:`ScanOverlap`.
        num_views: V, even; or 1, then every frame that sees itself is a tuple.
        min_overlap: of partners, see :func:`pair_overlap`.
        max_tuples: so many at most, drawn by ``seed``; None keeps all pairs.
        seed: of the draw, and of which pairs come together where V > 2.

    Returns:
        Tuples of V numbers of frames; for V = 2 in the order of the frames. Pairs that fill no
        tuple are left out, unless there is no tuple at all: then pairs are repeated.
    """
    if num_views == 1:
        pairs = np.flatnonzero(np.diag(share) >= min_overlap)[:, None]
    else:
        pairs = np.argwhere(np.triu(pair_overlap(share) >= min_overlap, 1))
    if not len(pairs):
        return []
    # NumPy's legacy generator: its stream is frozen
    order = np.random.RandomState(seed).permutation(len(pairs))
    together = max(1, num_views // 2)
    if len(pairs) < together:
        order = np.resize(order, together)
    count = len(order) // together
    tuples = pairs[order[: count * together]].reshape(count, num_views)[:max_tuples]
    return sorted(tuple(views) for views in tuples.tolist())
