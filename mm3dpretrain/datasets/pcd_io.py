"""Reader of PCD files (Point Cloud Library, format 0.7): text, binary and compressed."""

from __future__ import annotations

import os

import numpy as np

from .io import SampleError, check_cloud

_TYPES = {'F': {4: 'f4', 8: 'f8'}, 'I': {1: 'i1', 2: 'i2', 4: 'i4', 8: 'i8'},
          'U': {1: 'u1', 2: 'u2', 4: 'u4', 8: 'u8'}}  # fmt: skip


def read_pcd(path: str | os.PathLike) -> np.ndarray:
    """Coordinates of a PCD file; other fields are skipped.

    Rows that a depth camera left empty (NaN) are dropped, as organised files mark missing pixels
    so.

    Returns:
        (N, 3) float32, in the frame and unit of the file.

    Raises:
        SampleError: for a missing or truncated file, a broken header, no x, y, z, or no points.
    """
    path = os.fspath(path)
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError as error:
        raise SampleError(f'{path}: cannot read the file ({error})') from error
    header, body = _header(content, path)
    layout = _layout(header, path)
    try:
        count = int(header['POINTS'][0])
    except (KeyError, IndexError, ValueError) as error:
        raise SampleError(f'{path}: no number of POINTS in the header') from error
    readers = {'ascii': _ascii, 'binary': _binary, 'binary_compressed': _compressed}
    kind = header['DATA'][0] if header['DATA'] else ''
    if kind not in readers:
        raise SampleError(f'{path}: DATA {kind!r} is none of {list(readers)}')
    xyz = readers[kind](body, layout, count, path)
    missing = np.isnan(xyz).any(axis=1)
    return check_cloud(xyz[~missing], path)


def _header(content: bytes, path: str) -> tuple[dict[str, list[str]], bytes]:
    """Header entries and what follows the DATA line."""
    header: dict[str, list[str]] = {}
    position = 0
    while 'DATA' not in header:
        end = content.find(b'\n', position)
        if end < 0 or len(header) > 20:
            raise SampleError(f'{path}: not a PCD file, it has no DATA line')
        try:
            words = content[position:end].decode('ascii').split()
        except UnicodeDecodeError:
            raise SampleError(f'{path}: not a PCD file, its header is no text') from None
        position = end + 1
        if words and not words[0].startswith('#'):
            header[words[0].upper()] = words[1:]
    return header, content[position:]


def _layout(header: dict[str, list[str]], path: str) -> np.dtype:
    """Record of one point; every field is an array of its COUNT."""
    names = header.get('FIELDS', [])
    if not {'x', 'y', 'z'} <= set(names):
        raise SampleError(f'{path}: the fields are {names}, x, y and z wanted')
    try:
        sizes = [int(size) for size in header['SIZE']]
        kinds = header['TYPE']
        counts = [int(count) for count in header.get('COUNT', ['1'] * len(names))]
        if not len(names) == len(sizes) == len(kinds) == len(counts):
            raise ValueError('FIELDS, SIZE, TYPE and COUNT differ in length')
        # padding fields may share the name '_'
        return np.dtype(
            [
                (f'{name}{index}' if name == '_' else name, '<' + _TYPES[kind][size], (count,))
                for index, (name, kind, size, count) in enumerate(zip(names, kinds, sizes, counts))
            ]
        )
    except (KeyError, ValueError) as error:
        raise SampleError(f'{path}: a broken PCD header ({error!r})') from error


def _take_xyz(table: np.ndarray) -> np.ndarray:
    return np.stack([table[axis][:, 0] for axis in 'xyz'], axis=1).astype(np.float32)


def _ascii(body: bytes, layout: np.dtype, count: int, path: str) -> np.ndarray:
    width, columns = 0, {}
    for name in layout.names:
        columns[name] = width
        width += layout[name].shape[0]
    tokens = body.split()
    if len(tokens) < count * width:
        raise SampleError(
            f'{path}: truncated, {count} points announced, {len(tokens) // width} there'
        )
    try:
        table = np.array(tokens[: count * width], dtype=np.float64).reshape(count, width)
    except ValueError as error:
        raise SampleError(f'{path}: not a table of numbers ({error})') from error
    return table[:, [columns[axis] for axis in 'xyz']].astype(np.float32)


def _binary(body: bytes, layout: np.dtype, count: int, path: str) -> np.ndarray:
    if len(body) < count * layout.itemsize:
        raise SampleError(
            f'{path}: truncated, {count} points announced, {len(body) // layout.itemsize} there'
        )
    return _take_xyz(np.frombuffer(body, layout, count))


def _compressed(body: bytes, layout: np.dtype, count: int, path: str) -> np.ndarray:
    """LZF-compressed, one field after another."""
    if len(body) < 8:
        raise SampleError(f'{path}: truncated, no sizes of the compressed data')
    packed, unpacked = np.frombuffer(body, '<u4', 2).tolist()
    if unpacked != count * layout.itemsize or len(body) < 8 + packed:
        raise SampleError(
            f'{path}: truncated or broken, {count} points of {layout.itemsize} bytes announced, '
            f'{unpacked} bytes in {len(body) - 8} of {packed} compressed ones'
        )
    try:
        data = _lzf_decompress(body[8 : 8 + packed], unpacked)
    except (IndexError, ValueError) as error:
        raise SampleError(f'{path}: broken compressed data ({error})') from error
    table = np.empty(count, layout)
    position = 0
    for name in layout.names:
        values = np.frombuffer(data, layout[name].base, count * layout[name].shape[0], position)
        table[name] = values.reshape(count, -1)
        position += values.nbytes
    return _take_xyz(table)


def _lzf_decompress(data: bytes, size: int) -> bytes:
    """LZF, the compression of PCD files: runs of literals and back-references."""
    out = bytearray()
    position = 0
    while position < len(data):
        control = data[position]
        position += 1
        if control < 32:  # a run of control + 1 literal bytes
            out += data[position : position + control + 1]
            position += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += data[position]
            position += 1
        start = len(out) - ((control & 31) << 8) - data[position] - 1
        position += 1
        if start < 0:
            raise ValueError('a reference before the start')
        for index in range(start, start + length + 2):  # may overlap what it writes
            out.append(out[index])
    if len(out) != size:
        raise ValueError(f'{len(out)} bytes instead of {size}')
    return bytes(out)
