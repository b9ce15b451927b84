"""Readers that either return a well-formed array or raise :class:`SampleError` naming the file.

Every reader checks what it read (shape, number of columns, finite values), because a broken file
that slips through here shows up much later, as a loss that turns NaN.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

TEXT_SUFFIXES = ('.txt', '.xyz', '.pts', '.csv')
ARRAY_SUFFIXES = ('.npy', '.npz')
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg')
# what numpy raises for missing, truncated or mangled .npy and .npz files
READ_ERRORS = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class SampleError(RuntimeError):
    """One sample of a data set is broken; the message names its file and what is wrong."""


# --------------------------------------------------------------------------- writing


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside ``path`` that is renamed to it when the block ends well.

    Whoever reads ``path`` sees either nothing or the whole file, also when the writer is killed.
    The temporary name keeps the suffix, so that writers which look at it (``np.save``) work.

    Yields:
        The path to write to. It is removed if the block raises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.stem}-{uuid.uuid4().hex[:8]}.tmp{path.suffix}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def missing_root_error(name: str, path: str | os.PathLike, layout: str, source: str):
    """The FileNotFoundError of a data set that is not there: where to get it, how it must lie."""
    return FileNotFoundError(
        f'{name}: {os.fspath(path)} does not exist.\nGet it from: {source}\n'
        f'Expected layout:\n{layout}\nSee docs/datasets.md, and set data_root in the config.'
    )


# --------------------------------------------------------------------------- checking


def check_cloud(points: Any, source: str, min_points: int = 1) -> np.ndarray:
    """Check that ``points`` is a cloud: (N, C >= 3), finite xyz, at least ``min_points`` rows.

    Args:
        points: array-like (N, C).
        source: file or sample that the message names.
        min_points: smallest number of points that is accepted.

    Returns:
        (N, C) float32, contiguous.

    Raises:
        SampleError: if it is not.
    """
    try:
        points = np.asarray(points)
        if points.dtype == object:
            raise TypeError('object array')
        # what is too large for float32 becomes infinite and is reported below
        with np.errstate(over='ignore'):
            points = np.ascontiguousarray(points, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise SampleError(f'{source}: not a numeric array ({error})') from error
    if points.ndim != 2 or points.shape[1] < 3:
        raise SampleError(
            f'{source}: a cloud must be (N, C) with C >= 3 columns x y z ..., got {points.shape}'
        )
    if len(points) < min_points:
        what = 'an empty cloud' if len(points) == 0 else f'only {len(points)} points'
        raise SampleError(f'{source}: {what}, at least {min_points} wanted')
    finite = np.isfinite(points)
    if not finite.all():
        row = int(np.flatnonzero(~finite.all(axis=1))[0])
        raise SampleError(
            f'{source}: {int((~finite).any(axis=1).sum())} of {len(points)} points have NaN or '
            f'infinite values, the first one is row {row}: {points[row].tolist()}'
        )
    return points


# --------------------------------------------------------------------------- clouds


def read_text_points(path: str | os.PathLike) -> np.ndarray:
    """Read a text file with one point per line, separated by blanks or commas.

    Lines that start with ``#`` are comments.

    Returns:
        (N, C >= 3) float32.

    Raises:
        SampleError: for a missing or empty file, lines of different length or non-numbers.
    """
    path = os.fspath(path)
    try:
        with open(path, encoding='ascii', errors='strict') as file:
            lines = [line for line in file if line.strip() and not line.lstrip().startswith('#')]
    except (OSError, UnicodeDecodeError) as error:
        raise SampleError(f'{path}: cannot read it as text ({error})') from error
    if not lines:
        raise SampleError(f'{path}: an empty cloud, at least 1 wanted')
    delimiter = ',' if ',' in lines[0] else None
    try:
        points = np.loadtxt(lines, dtype=np.float32, delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise SampleError(f'{path}: not a table of numbers ({error})') from error
    return check_cloud(points, path)


def read_npy(path: str | os.PathLike, key: str | None = None) -> np.ndarray:
    """Read one array of a ``.npy`` or ``.npz`` file; pickled objects are refused.

    Args:
        path: the file.
        key: which array of a ``.npz``; default ``'points'`` or, where there is one array, that.

    Raises:
        SampleError: if the file is missing, truncated, holds Python objects or lacks the key.
    """
    path = os.fspath(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if key is None:
                key = 'points' if 'points' in loaded.files or len(loaded.files) != 1 else None
                key = key or loaded.files[0]
            if key not in loaded.files:
                raise SampleError(f'{path}: no array {key!r}, it has {loaded.files}')
            return loaded[key]
    except READ_ERRORS as error:
        raise SampleError(f'{path}: cannot read the array ({error})') from error


@lru_cache(maxsize=64)
def _open_memmap(path: str, mtime_ns: int) -> np.ndarray:
    return np.load(path, mmap_mode='r', allow_pickle=False)


def read_row(path: str | os.PathLike, index: int, copy: bool = True) -> np.ndarray:
    """Read row ``index`` of a stacked ``.npy`` file without reading the others.

    The map is opened once per process, by whoever first needs it, so that worker processes share
    the pages of the file and none of them carries it in memory.

    Args:
        path: ``.npy`` file of an array (n, ...).
        index: which row.
        copy: False returns a view of the map: nothing is read before it is used.

    Returns:
        ``array[index]``.

    Raises:
        SampleError: if the file is broken or the row does not exist.
    """
    path = os.fspath(path)
    try:
        # the time is part of the key, so that a file that was made again is opened again
        array = _open_memmap(path, os.stat(path).st_mtime_ns)
    except READ_ERRORS as error:
        raise SampleError(f'{path}: cannot read the array ({error})') from error
    if not 0 <= index < len(array):
        raise SampleError(f'{path}: has {len(array)} rows, row {index} wanted')
    return np.array(array[index]) if copy else array[index]


def read_hdf5(path: str | os.PathLike, keys: Sequence[str]) -> list[np.ndarray]:
    """Read whole arrays of an HDF5 file.

    Args:
        path: the file.
        keys: names of the arrays.

    Returns:
        One array per key.

    Raises:
        SampleError: if the file is missing or truncated, or lacks a key.
        ImportError: without h5py.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f'reading {path} needs h5py: pip install h5py') from error
    path = os.fspath(path)
    try:
        with h5py.File(path, 'r') as file:
            for key in keys:
                if not isinstance(file.get(key), h5py.Dataset):
                    raise SampleError(f'{path}: no array {key!r}, it has {sorted(file)}')
            return [file[key][()] for key in keys]
    # a truncated file can fail in many places of libhdf5: OSError when opened, RuntimeError or
    # KeyError when an object of it is looked up
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, SampleError):
            raise
        raise SampleError(f'{path}: cannot read the HDF5 file ({error})') from error


# --------------------------------------------------------------------------- pickles


def _encode_latin1(text: str, encoding: str = 'latin1') -> bytes:
    """What protocol-2 pickles call to make bytes; any other codec is refused."""
    if encoding not in ('latin1', 'latin-1', 'iso-8859-1'):
        raise _RefusedError(f'it asks for the codec {encoding!r}')
    return text.encode('latin1')


def _allowed_globals() -> dict[tuple[str, str], Callable]:
    try:  # numpy >= 2 renamed the package; pickles carry either name
        from numpy._core import multiarray, numeric
    except ImportError:
        from numpy.core import multiarray, numeric
    allowed: dict[tuple[str, str], Callable] = {
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        ('_codecs', 'encode'): _encode_latin1,
    }
    for package in ('numpy.core', 'numpy._core'):
        allowed[package + '.multiarray', '_reconstruct'] = multiarray._reconstruct
        allowed[package + '.multiarray', 'scalar'] = multiarray.scalar
        allowed[package + '.numeric', '_frombuffer'] = numeric._frombuffer
    return allowed


class _RefusedError(pickle.UnpicklingError):
    """The pickle asks for something that is not allowed."""


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that knows numpy arrays and builtin containers, and nothing that can act."""

    allowed = _allowed_globals()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise _RefusedError(
                f'it asks for {module}.{name}; only numpy arrays, lists, tuples, dicts, numbers '
                'and strings are read from pickles'
            ) from None


def _skip_npy_header(file: BinaryIO) -> bool:
    """Go to the pickle in a file; False for a ``.npy`` of plain numbers, which has none."""
    magic = file.read(6)
    file.seek(0)
    if magic != b'\x93NUMPY':
        return True
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)[2].hasobject
    return np.lib.format.read_array_header_2_0(file)[2].hasobject


def read_array_pickle(path: str | os.PathLike) -> Any:
    """Read a pickle of numpy arrays in lists, tuples and dicts, and nothing else.

    ModelNet40's resampled files and the few-shot folds are pickles, and so are ``.npy`` files of
    Python objects, such as OpenShape's; of the latter a 0-d array gives the object itself. A pickle
    can run any code when it is loaded, so every global but numpy's array constructors is refused
    before it is used.

    Raises:
        SampleError: if the file is missing or truncated, or holds anything else.
    """
    path = os.fspath(path)
    try:
        with open(path, 'rb') as file:
            if not _skip_npy_header(file):
                return read_npy(path)
            loaded = _ArrayUnpickler(file, encoding='latin1').load()
            return loaded.item() if isinstance(loaded, np.ndarray) and not loaded.ndim else loaded
    except _RefusedError as error:
        raise SampleError(f'{path}: refused to load the pickle: {error}') from error
    # what a truncated or mangled stream raises depends on the opcode it breaks in
    except (
        pickle.UnpicklingError, OSError, EOFError, ValueError, TypeError, KeyError, IndexError,
        AttributeError, MemoryError, OverflowError,
    ) as error:  # fmt: skip
        raise SampleError(
            f'{path}: cannot read the pickle ({type(error).__name__}: {error})'
        ) from error


# --------------------------------------------------------------------------- pictures


def read_image(
    path: str | os.PathLike, background: Sequence[int] | None = (255, 255, 255)
) -> np.ndarray:
    """Read a picture as RGB.

    Args:
        path: PNG or JPEG file: RGB, RGBA, grey, grey with alpha or palette.
        background: RGB in [0, 255] that transparent pixels show; None drops the alpha channel,
            as CrossPoint's loader does (transparent pixels then show what the file stores there).

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        SampleError: if the file is missing or corrupt, or has other channels.
    """
    from PIL import Image

    path = os.fspath(path)
    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
            if mode not in ('RGB', 'RGBA', 'L', 'LA', 'P', '1'):
                raise SampleError(
                    f'{path}: a picture of mode {mode!r}, only RGB(A), grey and palette are read'
                )
            has_alpha = mode in ('RGBA', 'LA') or 'transparency' in image.info
            image = image.convert('RGBA' if has_alpha else 'RGB')
            if has_alpha and background is not None:
                paper = Image.new('RGBA', image.size, (*background, 255))
                paper.alpha_composite(image)
                image = paper
    except FileNotFoundError:
        raise SampleError(f'{path}: the view does not exist') from None
    # Pillow reports broken files as OSError, SyntaxError or ValueError, by format and place
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise SampleError(f'{path}: cannot decode the picture ({error})') from error
    return np.array(np.asarray(image)[..., :3])


def list_images(folder: str | os.PathLike) -> list[str]:
    """Sorted names of the pictures in a folder, depth pictures left out; [] if there is none."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        name
        for name in names
        if name.lower().endswith(IMAGE_SUFFIXES)
        and 'depth' not in name.lower()
        # what a writer that was killed left behind
        and not name.startswith('.')
    )
