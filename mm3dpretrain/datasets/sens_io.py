"""ScanNet's ``.sens`` files (version 4): colour, depth and poses of a scan in one stream.

Layout (little endian): uint32 version 4; uint64 length and text of the sensor's name; 4 x 4 float32
of colour intrinsics, colour extrinsics, depth intrinsics, depth extrinsics; int32 compression of
colour and of depth; uint32 width and height of colour, of depth; float32 counts a metre; uint64
number of frames. A frame: 4 x 4 float32 camera-to-world, uint64 times of colour and of depth in
microseconds, uint64 bytes of colour and of depth, then these bytes.
"""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from .io import SampleError
from .view_files import save_png, write_text

VERSION = 4
COLOR_RAW, COLOR_PNG, COLOR_JPEG = 0, 1, 2
DEPTH_RAW, DEPTH_ZLIB = 0, 1
FRAMES_FILE = 'frames.txt'  # of an exported scan: written last, names the frames
_HEAD = struct.Struct('<16f4Q')  # pose, times, sizes of a frame
_LIMIT = 1 << 28  # bytes of a picture; larger numbers are not sizes


class SensHeader(NamedTuple):
    """What stands before the frames.

    Attributes:
        sensor: name of the camera.
        intrinsic_color, extrinsic_color, intrinsic_depth, extrinsic_depth: (4, 4) float64.
        color_compression, depth_compression: see the constants of this module.
        color_size, depth_size: (H, W).
        depth_scale: counts a metre.
        num_frames: in the file.
    """

    sensor: str
    intrinsic_color: np.ndarray
    extrinsic_color: np.ndarray
    intrinsic_depth: np.ndarray
    extrinsic_depth: np.ndarray
    color_compression: int
    depth_compression: int
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_scale: float
    num_frames: int


class SensFrame(NamedTuple):
    """One frame, still compressed.

    Attributes:
        number: in the file, from 0.
        cam2world: (4, 4) float64, -inf where tracking was lost.
        color: bytes of the picture, as the file has them.
        depth: bytes of the depth picture.
        header: of its file.
    """

    number: int
    cam2world: np.ndarray
    color: bytes
    depth: bytes
    header: SensHeader

    def decode_depth(self) -> np.ndarray:
        """(H, W) uint16 counts.

        Raises:
            SampleError: for bytes that are no depth picture of the size in the header.
        """
        content = self.depth
        if self.header.depth_compression == DEPTH_ZLIB:
            try:
                content = zlib.decompress(content)
            except zlib.error as error:
                raise SampleError(f'frame {self.number}: broken depth ({error})') from error
        height, width = self.header.depth_size
        if len(content) != 2 * height * width:
            raise SampleError(
                f'frame {self.number}: {len(content)} bytes of depth, {height} x {width} pixels '
                f'have {2 * height * width}'
            )
        return np.frombuffer(content, '<u2').reshape(height, width)

    def decode_color(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB.

        Raises:
            SampleError: for bytes that are no picture.
        """
        import cv2

        if self.header.color_compression == COLOR_RAW:
            height, width = self.header.color_size
            if len(self.color) != 3 * height * width:
                raise SampleError(f'frame {self.number}: {len(self.color)} bytes of colour')
            return np.frombuffer(self.color, np.uint8).reshape(height, width, 3)
        picture = cv2.imdecode(np.frombuffer(self.color, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise SampleError(f'frame {self.number}: cannot decode the colour picture')
        return picture[..., ::-1]


class SensFile:
    """A ``.sens`` file that is read frame by frame; use it in a ``with`` block.

    Args:
        path: the file.

    Raises:
        SampleError: if it is missing, too short for its header, of another version, or compressed
            in a way that is not read (depth: raw and zlib; colour: raw, PNG, JPEG).
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)
        try:
            self._file: BinaryIO = open(self.path, 'rb')  # noqa: SIM115, closed by __exit__
        except OSError as error:
            raise SampleError(f'{self.path}: cannot open it ({error})') from error
        try:
            self.header = self._read_header()
        except SampleError:
            self._file.close()
            raise
        self._start = self._file.tell()

    def __enter__(self) -> SensFile:
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self.header.num_frames

    def frames(self, every: int = 1) -> Iterator[SensFrame]:
        """Frames 0, ``every``, 2 ``every``, ...; the bytes of the others are not read.

        Raises:
            SampleError: at the place where the file ends too early, naming the frame.
            ValueError: for ``every`` below 1.
        """
        if every < 1:
            raise ValueError(f'every must be at least 1, got {every}')
        self._file.seek(self._start)
        end = os.fstat(self._file.fileno()).st_size
        for number in range(self.header.num_frames):
            what = f'frame {number} of {self.header.num_frames}'
            *pose, _, _, color, depth = _HEAD.unpack(self._take(_HEAD.size, what))
            if max(color, depth) > _LIMIT:
                raise SampleError(f'{self.path}: {what} claims {color} and {depth} bytes: broken')
            if self._file.tell() + color + depth > end:
                raise SampleError(f'{self.path}: truncated in {what}: {end} bytes in all')
            if number % every:
                self._file.seek(color + depth, os.SEEK_CUR)
                continue
            pose = np.array(pose, np.float64).reshape(4, 4)
            content = self._take(color, what), self._take(depth, what)
            yield SensFrame(number, pose, *content, self.header)

    def _take(self, size: int, what: str) -> bytes:
        content = self._file.read(size)
        if len(content) < size:
            raise SampleError(f'{self.path}: truncated in {what}: {self._file.tell()} bytes in all')
        return content

    def _unpack(self, layout: str) -> tuple:
        return struct.unpack('<' + layout, self._take(struct.calcsize('<' + layout), 'the header'))

    def _read_header(self) -> SensHeader:
        (version,) = self._unpack('I')
        if version != VERSION:
            raise SampleError(f'{self.path}: version {version}, only {VERSION} is read')
        (length,) = self._unpack('Q')
        if length > 4096:
            raise SampleError(f'{self.path}: a sensor name of {length} bytes: not a .sens file')
        sensor = self._take(length, 'the header').decode('utf-8', 'replace')
        matrices = [np.array(self._unpack('16f'), np.float64).reshape(4, 4) for _ in range(4)]
        color, depth = self._unpack('2i')
        if color not in (COLOR_RAW, COLOR_PNG, COLOR_JPEG) or depth not in (DEPTH_RAW, DEPTH_ZLIB):
            raise SampleError(
                f'{self.path}: compression {color} of colour and {depth} of depth; read are 0, 1, '
                '2 (raw, PNG, JPEG) and 0, 1 (raw, zlib)'
            )
        width, height, depth_width, depth_height = self._unpack('4I')
        scale, num_frames = self._unpack('fQ')
        return SensHeader(
            sensor,
            *matrices,
            color,
            depth,
            (height, width),
            (depth_height, depth_width),
            float(scale),
            num_frames,
        )


def export_scan(path: str | os.PathLike, folder: str | os.PathLike, every: int = 25) -> int:
    """Write frames of a ``.sens`` file as single files; a folder that is complete is kept.

    ``color/<frame>.jpg`` (bytes of the file, not compressed again; PNG where the file has others),
    ``depth/<frame>.png`` uint16, ``pose/<frame>.txt`` camera-to-world, also of lost frames (-inf),
    ``intrinsic/{intrinsic,extrinsic}_{color,depth}.txt``, ``frames.txt`` with the numbers.

    Args:
        path: the file.
        folder: of the scan; made beside its place and renamed when it is complete. A folder
            without ``frames.txt`` is made anew.
        every: keep every so-manieth frame.

    Returns:
        Number of frames in the folder.

    Raises:
        SampleError: for a broken or truncated file; nothing is left behind.
        ValueError: if the folder was exported with another ``every``.
    """
    folder = Path(folder)
    done = folder / FRAMES_FILE
    if done.is_file():
        first, *names = done.read_text(encoding='ascii').split()
        if first != f'every={every}':
            raise ValueError(f'{folder} was exported with {first}, not every={every}: remove it')
        return len(names)
    stage = folder.with_name(f'.{folder.name}.partial')
    shutil.rmtree(stage, ignore_errors=True)
    try:
        names = _write_frames(Path(path), stage, every)
        write_text(stage / FRAMES_FILE, f'every={every}\n' + ''.join(f'{n}\n' for n in names))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return len(names)


def _write_frames(path: Path, stage: Path, every: int) -> list[str]:
    names = []
    with SensFile(path) as sens:
        header = sens.header
        if header.num_frames == 0:
            raise SampleError(f'{path}: no frames')
        if abs(header.depth_scale - 1000) > 1e-3:
            raise SampleError(f'{path}: {header.depth_scale:g} counts a metre, 1000 wanted')
        for part in ('color', 'depth', 'pose', 'intrinsic'):
            (stage / part).mkdir(parents=True, exist_ok=True)
        for kind in ('intrinsic_color', 'extrinsic_color', 'intrinsic_depth', 'extrinsic_depth'):
            np.savetxt(stage / 'intrinsic' / f'{kind}.txt', getattr(header, kind), fmt='%.9g')
        for frame in sens.frames(every):
            name = str(frame.number)
            try:
                if header.color_compression == COLOR_RAW:
                    save_png(stage / 'color' / f'{name}.png', frame.decode_color())
                else:
                    suffix = 'jpg' if header.color_compression == COLOR_JPEG else 'png'
                    (stage / 'color' / f'{name}.{suffix}').write_bytes(frame.color)
                save_png(stage / 'depth' / f'{name}.png', frame.decode_depth())
            except SampleError as error:
                raise SampleError(f'{path}: {error}') from error
            np.savetxt(stage / 'pose' / f'{name}.txt', frame.cam2world, fmt='%.9g')
            names.append(name)
    return names
