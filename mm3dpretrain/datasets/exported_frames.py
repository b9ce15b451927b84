"""RGB-D scans in ScanNet's exported layout: colour, depth, pose and intrinsic in a folder each."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .frame_files import read_matrix, upright
from .io import SampleError, missing_root_error
from .pairs import list_files, list_pictures
from .rgbd_frames import RGBDFrames, Scan

LAYOUT = """\
  <data_root>/<scans>/<scene>/color/<frame>.jpg or .png
  <data_root>/<scans>/<scene>/depth/<frame>.png        uint16, millimetres
  <data_root>/<scans>/<scene>/pose/<frame>.txt         4 x 4 camera-to-world
  <data_root>/<scans>/<scene>/intrinsic/intrinsic_{color,depth}.txt"""


class ExportedFrames(RGBDFrames):
    """What sets in this layout share; arguments as in :class:`RGBDFrames`.

    Frames are those that have a colour and a depth picture. Where ``intrinsic_depth.txt`` differs
    from ``intrinsic_color.txt`` the depth camera is another one, with the same centre: if
    ``extrinsic_color.txt`` or ``extrinsic_depth.txt`` says otherwise, that is logged and not used.

    ``split`` names a list of scans; 'all' takes all folders.
    """

    #: folder of the scans below ``data_root``
    SCANS = 'scans'
    #: lists of scans below ``data_root``, the first that exists is read
    SPLITS = ('splits/{split}.txt',)
    SOURCE = ''

    def list_scans(self) -> list[str]:
        """Names in the list of the split, or of all folders."""
        folder = Path(self.data_root) / self.SCANS
        if not folder.is_dir():
            raise missing_root_error(type(self).__name__, folder, LAYOUT, self.SOURCE)
        if self.split == 'all':
            return sorted(path.name for path in folder.iterdir() if (path / 'intrinsic').is_dir())
        return self.read_lists()

    def read_lists(self) -> list[str]:
        """Names in the list of the split.

        Raises:
            FileNotFoundError: if there is none.
        """
        paths = [Path(self.data_root) / name.format(split=self.split) for name in self.SPLITS]
        for path in paths:
            if path.is_file():
                return path.read_text().split()
        raise FileNotFoundError(
            f"{type(self).__name__}: no list of scans at {paths[0]}; split='all' takes every folder"
        )

    def scan_folder(self, scene: str) -> Path:
        """Folder of a scan."""
        return Path(self.data_root) / self.SCANS / scene

    def read_scan(self, scene: str) -> Scan:
        """Frames in the order of their numbers."""
        folder = self.scan_folder(scene)
        try:
            colors, depths = (
                list_pictures(folder / 'color'),
                list_files(folder / 'depth', ('.png',)),
            )
        except FileNotFoundError as error:
            raise SampleError(f'{folder}: not a scan: {error}') from error
        color = self.read_intrinsics(folder / 'intrinsic' / 'intrinsic_color.txt')
        depth = self.read_intrinsics(folder / 'intrinsic' / 'intrinsic_depth.txt')
        camera = dict(cam2img=color, depth_scale=self.DEPTH_SCALE)
        if not np.allclose(color, depth, atol=1e-3):
            camera['depth_cam2img'] = depth
        self._check_centres(folder / 'intrinsic')
        frames, problems = [], {}
        for name in sorted(colors.keys() | depths.keys(), key=frame_order):
            if name not in colors or name not in depths:
                problems[name] = f'{folder}: no {"depth" if name in colors else "colour"} picture'
                continue
            frames.append(
                dict(
                    camera,
                    frame_id=name,
                    img_path=os.fspath(folder / 'color' / colors[name]),
                    depth_path=os.fspath(folder / 'depth' / depths[name]),
                    pose=os.fspath(folder / 'pose' / f'{name}.txt'),
                )
            )
        return Scan(frames, self.find_cloud(scene), problems=problems)

    def _check_centres(self, folder: Path) -> None:
        for kind in ('color', 'depth'):
            path = folder / f'extrinsic_{kind}.txt'
            if path.is_file() and not np.allclose(
                read_matrix(path, 'matrix'), np.eye(4), atol=1e-3
            ):
                self._warn(f'{path}: not the identity, and not used: colours may be off by pixels')

    def find_cloud(self, scene: str) -> str | None:
        """Cloud or mesh of the scan in the world of the poses, if there is one."""
        return None


def frame_order(name: str) -> tuple:
    """Key that sorts names of frames by their number, and by text where there is none."""
    return (0, int(name), name) if name.isdigit() else (1, 0, name)


@DATASETS.register_module()
class ScanNetFrames(ExportedFrames):
    """Frames of ScanNet as ``tools/dataset_converters/export_scannet_frames.py`` writes them.

    ``<data_root>/splits/<split>.txt`` names the scans, or ScanNet's own ``scannetv2_<split>.txt``
    there. Colour and depth pictures have
    different sizes and intrinsics. ``cloud='file'`` reads ``<scene>_vh_clean_2.ply`` in the folder
    of the scan. Poses live in the world before mmdet3d's ``axis_align_matrix``; z is up.
    """

    # ScanNet's calibration has the pixel centres at whole numbers
    CENTER_SHIFT = 0.5
    SPLITS = ('splits/{split}.txt', 'splits/scannetv2_{split}.txt')
    SOURCE = (
        'http://www.scan-net.org (needs a signed agreement), then '
        'tools/dataset_converters/export_scannet_frames.py'
    )

    def find_cloud(self, scene: str) -> str | None:
        """The decimated mesh."""
        path = self.scan_folder(scene) / f'{scene}_vh_clean_2.ply'
        return os.fspath(path) if path.is_file() else None


@DATASETS.register_module()
class SyntheticRoomsFrames(ExportedFrames):
    """Frames of SyntheticRooms; ``cloud='file'`` reads the room's labelled cloud."""

    SOURCE = 'tools/dataset_converters/create_synthetic_rooms.py --out <data_root>'

    def find_cloud(self, scene: str) -> str | None:
        """The cloud that mmdet3d's loaders read."""
        path = Path(self.data_root) / 'points' / f'{scene}.bin'
        return os.fspath(path) if path.is_file() else None


@DATASETS.register_module()
class ShapeFrames(ExportedFrames):
    """Views of shapes that ``tools/dataset_converters/render_views.py --layout rgbd`` wrote.

    The unit is that of the shapes, the unit sphere by default, and +y is up in the files; the
    world is turned so that +z is up. Every shape is a scan. ``cloud='file'`` reads the coloured
    points beside the views. Shapes are split by :attr:`split`: 'train', 'test' or 'all' of the
    list sorted by name, every tenth is for the test, unless ``splits/<split>.txt`` exists.
    """

    METAINFO = dict(gravity_axis='z', normalization='unit_sphere')
    SCANS = 'rgbd'
    DEPTH_TOL = 0.02
    SOURCE = 'tools/dataset_converters/render_views.py --layout rgbd --out <data_root>'

    def list_scans(self) -> list[str]:
        """Folders with intrinsics, at any depth."""
        folder = Path(self.data_root) / self.SCANS
        if not folder.is_dir():
            raise missing_root_error(type(self).__name__, folder, LAYOUT, self.SOURCE)
        if (Path(self.data_root) / self.SPLITS[0].format(split=self.split)).is_file():
            return self.read_lists()
        found = sorted(
            path.parent.relative_to(folder).as_posix() for path in folder.rglob('intrinsic')
        )
        if self.split not in ('train', 'test', 'all'):
            raise ValueError(f"ShapeFrames: split is 'train', 'test' or 'all', got {self.split!r}")
        test = found[9::10]
        if self.split == 'all':
            return found
        return test if self.split == 'test' else [name for name in found if name not in set(test)]

    def read_scan(self, scene: str) -> Scan:
        """The views of one shape, turned upright."""
        scan = super().read_scan(scene)
        scan.align = upright(np.array([0.0, -1.0, 0.0]))
        return scan

    def find_cloud(self, scene: str) -> str | None:
        """Points that were drawn when the views were rendered."""
        path = self.scan_folder(scene) / 'points.npz'
        return os.fspath(path) if path.is_file() else None
