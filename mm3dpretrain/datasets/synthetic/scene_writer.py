"""Write any number of scenes: in parallel, resumable, the same files whoever writes them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.datasets.worker_pool import Progress, start_worker

RECORDS = 'records'  # one file a scene, written last: what is there is finished


def write_json(path: Path, content) -> None:
    """Write JSON, completely or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + '\n')


def write_array(path: Path, array) -> None:
    """Write the bytes of an array, completely or not at all."""
    with atomic_path(path) as temporary:
        array.tofile(temporary)


def write_text(path: Path, text: str) -> None:
    """Write text, completely or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def write_picture(path: Path, pixels) -> None:
    """Write a PNG: (H, W, 3) uint8 as RGB, (H, W) uint16 as 16-bit grey."""
    from PIL import Image

    with atomic_path(path) as temporary:
        # level 1 is several times faster than the default and costs a tenth in size
        Image.fromarray(pixels).save(temporary, compress_level=1)


def count_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, 'sched_getaffinity', None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _check_manifest(path: Path, title: str, wanted: dict) -> bool:
    """Refuse a folder that holds another set, or files of which nobody knows; True if complete."""
    root = path.parent
    if not path.is_file():
        if root.is_dir() and any(root.iterdir()):
            raise FileExistsError(
                f'{root} is not empty and has no {path.name}: choose an empty folder'
            )
        return False
    try:
        manifest = json.loads(path.read_text())
        stored = dict(manifest['parameters'])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is damaged ({error}): delete {root} or choose another') from error
    keys = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key)]
    if keys:
        changes = ', '.join(f'{k} {stored.get(k)!r} there, {wanted.get(k)!r} asked' for k in keys)
        raise ValueError(
            f'{root} holds {title} of other parameters ({changes}): '
            'choose another folder, delete this one, or ask for the same'
        )
    return bool(manifest.get('complete'))


def _one(root: Path, make: Callable[[Path, int], dict], name: str, index: int) -> bool:
    """Make a scene unless its record is there; whether it was made."""
    path = root / RECORDS / f'{name}.json'
    if path.is_file():
        return False
    write_json(path, make(root, index))
    return True


def write_scenes(
    out: str | os.PathLike,
    title: str,
    parameters: dict,
    names: list[str],
    make: Callable[[Path, int], dict],
    finish: Callable[[Path, list[dict]], None],
    workers: int | None = None,
    progress: bool = True,
) -> dict:
    """Write scenes into a folder; those of a former, stopped run are kept.

    The parameters lie in ``<title>.json`` with underscores for spaces; a folder with other ones is
    refused. Every scene ends with a record in ``records/``; when all are there, ``finish`` writes
    the files of the whole set from the records, so that nothing depends on who made them.

    Args:
        out: folder; made if needed.
        title: what the set is called.
        parameters: all that determines the files; JSON values.
        names: one for each scene.
        make: ``make(root, index)`` writes the files of one scene and returns its record (JSON
            values); can be pickled.
        finish: ``finish(root, records)`` writes the lists and info files.
        workers: processes; None for one a core that this process may use.
        progress: print a progress bar with the time left.

    Returns:
        ``dict(out, scenes, written, seconds, workers, parameters)``.

    Raises:
        ValueError: for fewer than 1 worker, or a folder that holds a set of other parameters.
        FileExistsError: if the folder has files but not those of such a set.
    """
    start = time.perf_counter()
    workers = count_cores() if workers is None else workers
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}')
    root = Path(out)
    manifest = root / f'{title.replace(" ", "_")}.json'
    parameters = json.loads(json.dumps(parameters))
    complete = _check_manifest(manifest, title, parameters)
    summary = dict(out=str(root), scenes=len(names), written=0, seconds=0.0, workers=workers)
    summary['parameters'] = parameters
    if complete:
        return summary
    for leftover in root.rglob('.*.tmp*'):  # half-written files of a run that was killed
        leftover.unlink()
    write_json(manifest, dict(parameters=parameters, complete=False))

    bar = Progress(len(names)) if progress else None
    todo = [
        (name, index)
        for index, name in enumerate(names)
        if not (root / RECORDS / f'{name}.json').is_file()
    ]
    done = len(names) - len(todo)
    if todo:  # the first one here: it compiles the kernels before the worker processes are forked
        summary['written'] += _one(root, make, *todo[0])
        done += 1
    rest = todo[1:]
    if workers < 2 or len(rest) < 2:
        for job in rest:
            summary['written'] += _one(root, make, *job)
            done += 1
            if bar is not None:
                bar.update(done)
    else:
        method = 'fork' if 'fork' in get_all_start_methods() else 'spawn'
        pool = ProcessPoolExecutor(workers, get_context(method), start_worker, (os.getpid(),))
        try:
            futures = [pool.submit(_one, root, make, *job) for job in rest]
            for future in as_completed(futures):
                summary['written'] += future.result()
                done += 1
                if bar is not None:
                    bar.update(done)
        finally:
            pool.shutdown(cancel_futures=True)
    if bar is not None and bar.bar.completed < len(names):
        bar.update(len(names))
    finish(root, [json.loads((root / RECORDS / f'{name}.json').read_text()) for name in names])
    write_json(manifest, dict(parameters=parameters, complete=True))
    summary['seconds'] = round(time.perf_counter() - start, 3)
    return summary
