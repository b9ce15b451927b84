"""Features of a 2D teacher on disk, computed once for every frame."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .io import READ_ERRORS, SampleError, atomic_path

INDEX = 'teacher.json'


def feature_file(folder: str | os.PathLike, scene: str, frame_id: str) -> Path:
    """Where the features of a frame lie: ``<folder>/<scene>/<frame_id>.npz``.

    Raises:
        ValueError: for names that would lead out of the folder.
    """
    if '..' in Path(scene).parts + Path(frame_id).parts or os.path.isabs(scene):
        raise ValueError(f'scene {scene!r} and frame {frame_id!r} are no names in a cache')
    return Path(folder) / scene / f'{frame_id}.npz'


def open_cache(folder: str | os.PathLike, content: Mapping) -> Path:
    """Begin a cache or go on with one.

    Args:
        folder: made if needed.
        content: what the features depend on, with ``key``; plain data.

    Returns:
        The folder.

    Raises:
        ValueError: if the folder holds features of another teacher or of other pictures.
    """
    folder = Path(folder)
    path = folder / INDEX
    if path.is_file():
        found = read_index(folder)
        if found['key'] != content['key']:
            raise ValueError(
                f'{folder} has features of another teacher or of other pictures: {found}, wanted '
                f'{dict(content)}. Give another folder or delete this one'
            )
        return folder
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))
    return folder


def read_index(folder: str | os.PathLike) -> dict:
    """What a cache holds, with ``key`` and ``image_size``.

    Raises:
        FileNotFoundError: if there is no cache.
        SampleError: if its index is damaged.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise FileNotFoundError(
            f'no teacher features at {folder}: run tools/precompute_teacher_features.py CONFIG '
            f'--out {folder}'
        )
    try:
        index = json.loads(path.read_text())
        return dict(index, key=index['key'], image_size=tuple(index['image_size']))
    except (ValueError, KeyError, TypeError) as error:
        raise SampleError(f'{path} is damaged ({error}): delete it and compute anew') from error


def write_features(path: str | os.PathLike, maps: Sequence[np.ndarray]) -> None:
    """Store the maps (C_l, h_l, w_l) of one frame in half precision, completely or not at all.

    Raises:
        ValueError: for values beyond the range of half precision.
    """
    with np.errstate(over='ignore'):
        halves = [np.asarray(m).astype(np.float16) for m in maps]
    if not all(np.isfinite(m).all() for m in halves):
        raise ValueError(f'{path}: features beyond +-65504 do not fit into half precision')
    with atomic_path(path) as temporary:
        np.savez(temporary, **{f'level_{k}': m for k, m in enumerate(halves)})


def read_features(path: str | os.PathLike) -> list[np.ndarray]:
    """The maps of one frame, float16.

    Raises:
        SampleError: if the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[f'level_{k}'] for k in range(len(arrays.files))]
    except FileNotFoundError:
        raise SampleError(
            f'{path} does not exist: run tools/precompute_teacher_features.py again, it goes on '
            'where it was'
        ) from None
    except (*READ_ERRORS, KeyError) as error:
        raise SampleError(f'{path} is damaged ({error}): delete it and compute it again') from error
