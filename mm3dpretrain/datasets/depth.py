"""Data sets of monocular depth: KITTI, NYU Depth v2, and any KITTI folder with LiDAR sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .base import PretrainDataset
from .io import SampleError, missing_root_error
from .kitti_pairs import calibrated_images
from .samplers import seed_sample

# fx = fy, cx, cy of the rectified colour cameras by date, from KITTI's calibration files
KITTI_INTRINSICS = {
    '2011_09_26': (721.5377, 609.5593, 172.8540),
    '2011_09_28': (707.0493, 604.0814, 180.5066),
    '2011_09_29': (718.3351, 600.3891, 181.5122),
    '2011_09_30': (707.0912, 601.8873, 183.1104),
    '2011_10_03': (718.8560, 607.1928, 185.2157),
}
KITTI_LAYOUT = """\
  <data_root>/input/<date>/<drive>/image_02/data/0000000069.png           KITTI raw
  <data_root>/gt_depth/<drive>/proj_depth/groundtruth/image_02/0000000069.png
                                                   data_depth_annotated, train and val merged
  <data_root>/kitti_eigen_{train,test}.txt   '<picture below input> <map below gt_depth> ...'"""
KITTI_SOURCE = (
    'cvlibs.net, raw data and data_depth_annotated; the lists are those of the BTS code, as the '
    'Monocular-Depth-Estimation-Toolbox uses them'
)
NYU_INTRINSICS = (518.8579, 519.4696, 325.5824, 253.7362)
NYU_LAYOUT = """\
  <data_root>/<scene>/rgb_00045.jpg and sync_depth_00045.png (16 bits, millimetres), ...
  <data_root>/nyu_{train,test}.txt   '/<scene>/rgb_00045.jpg /<scene>/sync_depth_00045.png ...'"""
NYU_SOURCE = 'NYU Depth v2, the pairs that the BTS code offers; the lists are in its repository'
LIDAR_LAYOUT = """\
  <data_root>/training/image_2/000000.png (or .jpg)
  <data_root>/training/calib/000000.txt
  <data_root>/training/velodyne/000000.bin, or velodyne_reduced/000000.bin
  <data_root>/ImageSets/<split>.txt"""
LIDAR_SOURCE = (
    "KITTI's object data, or tools/dataset_converters/create_synthetic_streets.py --out <data_root>"
)


class DepthDataset(PretrainDataset):
    """Pictures with depth maps.

    A record has ``sample_id``, ``img_path``, ``cam2img`` (3 x 3, pixels of the stored picture) and
    either ``depth_path`` with ``depth_scale`` (see :func:`~.depth_maps.read_depth`) or
    ``lidar_path``, ``num_pts_feats`` and ``lidar2img`` (4 x 4). A broken sample is an error that
    names it; nothing is skipped in silence.

    Args:
        data_root: folder of the set.
        split: which part of it.
        cached_steps: so many of the first transforms, which must not be random, run once for every
            sample; what they gave stays in the memory of the process. For small sets: reading is
            half of the time of a small training.
        pipeline, indices, serialize_data, test_mode, lazy_init: as in
            :class:`mmengine.dataset.BaseDataset`; ``indices=16`` keeps the first 16 samples.

    Raises:
        FileNotFoundError: if the set is not at ``data_root``; the message says where to get it and
            how it must lie.
        SampleError: for a list of samples that cannot be read.
        ValueError: if there are no samples, or more cached steps than steps.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        cached_steps: int = 0,
        pipeline: Sequence[dict | Callable] = (),
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        test_mode: bool = False,
        lazy_init: bool = False,
    ) -> None:
        if not 0 <= cached_steps <= len(pipeline):
            raise ValueError(
                f'cached_steps must be in [0, {len(pipeline)}], the pipeline, got {cached_steps}'
            )
        self.cached_steps = cached_steps
        self._cache: dict[int, dict] = {}
        super().__init__(
            data_root=data_root,
            split=split,
            pipeline=pipeline,
            indices=indices,
            serialize_data=serialize_data,
            test_mode=test_mode,
            lazy_init=lazy_init,
        )

    def filter_data(self) -> list[dict]:
        """All records; a split without any is an error."""
        if not self.data_list:
            raise ValueError(
                f'{type(self).__name__}: no samples in split {self.split!r} of {self.data_root}'
            )
        return self.data_list

    def prepare_data(self, idx: int):
        """Record ``idx`` after the pipeline.

        Raises:
            SampleError: naming the sample, if its data are broken.
        """
        info = self.get_data_info(idx)
        name = info['sample_id']
        try:
            return self._run(info, int(idx))
        except (SampleError, ValueError, OSError) as error:
            raise SampleError(
                f'{type(self).__name__}: sample {name!r} (number {idx}): {error}'
            ) from error

    def _run(self, info: dict, idx: int):
        """The pipeline, from the cached results on where there are some."""
        steps = self.pipeline.transforms
        if self.cached_steps:
            if idx not in self._cache:
                for step in steps[: self.cached_steps]:
                    info = step(info)
                self._cache[idx] = info
            # transforms put new arrays into the dictionary and leave the old ones alone
            info = dict(self._cache[idx])
        for step in steps[self.cached_steps :]:
            info = step(info)
        return info

    def __getitem__(self, idx: int):
        """Sample ``idx`` after the pipeline; a ``SeededIndex`` seeds the transforms."""
        if not self._fully_initialized:
            self.full_init()
        seed_sample(idx)
        return self.prepare_data(idx)

    def _read_pairs(self, path: Path, layout: str, source: str) -> list[tuple[str, str]]:
        """(picture, depth map) of the lines of a list, in the order of the pictures' names."""
        if not path.is_file():
            raise missing_root_error(type(self).__name__, path, layout, source)
        pairs, without = [], 0
        for number, line in enumerate(path.read_text().splitlines(), 1):
            words = line.split()
            if not words:
                continue
            if len(words) < 2:
                raise SampleError(f'{path}, line {number}: no picture and depth map: {line!r}')
            # the lists of KITTI name frames for which nobody made a map
            if words[1] == 'None':
                without += 1
            else:
                pairs.append((words[0].lstrip('/'), words[1].lstrip('/')))
        self._log(
            f'{type(self).__name__}: {len(pairs)} pairs in {path}, {without} frames without depth'
        )
        return sorted(pairs)


@DATASETS.register_module()
class KittiDepth(DepthDataset):
    """KITTI's raw pictures with the denser depth maps of ``data_depth_annotated``.

    The layout and the lists of the Monocular-Depth-Estimation-Toolbox (Eigen split; frames whose
    line has 'None' for the map are left out)::

        <data_root>/input/<date>/<drive>/image_02/data/0000000069.png
        <data_root>/gt_depth/<drive>/proj_depth/groundtruth/image_02/0000000069.png
        <data_root>/kitti_eigen_{train,test}.txt

    Args:
        data_root: folder of the set.
        split: 'train' or 'test'; or ``ann_file`` names the list.
        ann_file: list below ``data_root``; default ``kitti_eigen_<split>.txt``.
        img_dir: folder that the first word of a line starts from.
        depth_dir: the same of the second word.
        **kwargs: see :class:`DepthDataset`.
    """

    METAINFO = dict(depth_scale=256)

    def __init__(
        self,
        data_root: str = 'data/kitti_depth',
        split: str = 'train',
        ann_file: str | None = None,
        img_dir: str = 'input',
        depth_dir: str = 'gt_depth',
        **kwargs,
    ) -> None:
        # BaseDataset has an attribute ann_file of its own
        self.list_file = ann_file or f'kitti_eigen_{split}.txt'
        self.folders = (img_dir, depth_dir)
        super().__init__(data_root, split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each line with a map.

        Raises:
            SampleError: for a picture whose path does not begin with a date of KITTI.
        """
        root = Path(self.data_root)
        images, maps = (root / folder for folder in self.folders)
        records = []
        for image, depth in self._read_pairs(root / self.list_file, KITTI_LAYOUT, KITTI_SOURCE):
            date = image.split('/')[0]
            if date not in KITTI_INTRINSICS:
                raise SampleError(
                    f"{root / self.list_file}: {image!r} does not begin with one of KITTI's dates "
                    f'{list(KITTI_INTRINSICS)}'
                )
            focal, cx, cy = KITTI_INTRINSICS[date]
            records.append(
                dict(
                    sample_id=image,
                    img_path=str(images / image),
                    depth_path=str(maps / depth),
                    depth_scale=self.METAINFO['depth_scale'],
                    cam2img=_matrix(focal, focal, cx, cy),
                )
            )
        return records


@DATASETS.register_module()
class NYUDepth(DepthDataset):
    """NYU Depth v2, or other folders of colour and depth pictures of the same grid.

    Depth is a PNG of 16 bits in millimetres. The pairs stand in a list, or are found by their
    names: ``patterns=('rgb_*.jpg', 'sync_depth_*.png')`` takes, in every folder, pictures and maps
    whose names agree in what stands for the star.

    Args:
        data_root: folder of the set.
        split: 'train' or 'test'; or ``ann_file`` names the list.
        ann_file: list below ``data_root``; default ``nyu_<split>.txt``.
        patterns: names of pictures and maps, with one star each, instead of a list.
        cam2img: (fx, fy, cx, cy) in pixels; default those of NYU Depth v2.
        **kwargs: see :class:`DepthDataset`.

    Raises:
        ValueError: for a list and patterns together, or patterns without exactly one star.
    """

    METAINFO = dict(depth_scale=1000)

    def __init__(
        self,
        data_root: str = 'data/nyu',
        split: str = 'train',
        ann_file: str | None = None,
        patterns: tuple[str, str] | None = None,
        cam2img: Sequence[float] = NYU_INTRINSICS,
        **kwargs,
    ) -> None:
        if ann_file and patterns:
            raise ValueError(f'give ann_file or patterns, got {ann_file!r} and {patterns}')
        if patterns and (len(patterns) != 2 or any(p.count('*') != 1 for p in patterns)):
            raise ValueError(f'patterns must be two names with one star each, got {patterns}')
        self.list_file = ann_file or f'nyu_{split}.txt'
        self.patterns = patterns
        self.cam2img = _matrix(*cam2img)
        super().__init__(data_root, split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each pair."""
        root = Path(self.data_root)
        if self.patterns:
            pairs = self._find_pairs(root)
        else:
            pairs = self._read_pairs(root / self.list_file, NYU_LAYOUT, NYU_SOURCE)
        return [
            dict(
                sample_id=image,
                img_path=str(root / image),
                depth_path=str(root / depth),
                depth_scale=self.METAINFO['depth_scale'],
                cam2img=self.cam2img,
            )
            for image, depth in pairs
        ]

    def _find_pairs(self, root: Path) -> list[tuple[str, str]]:
        """Relative paths of pictures and maps of the same folder and the same star."""
        if not root.is_dir():
            raise missing_root_error('NYUDepth', root, NYU_LAYOUT, NYU_SOURCE)
        found: list[dict] = []
        for pattern in self.patterns:
            before, after = map(len, pattern.split('*'))
            paths = sorted(path.relative_to(root) for path in root.rglob(pattern))
            found.append({(p.parent, p.name[before : len(p.name) - after]): p for p in paths})
        images, maps = found
        alone = sorted(str(images[key]) for key in images.keys() - maps.keys())
        alone += sorted(str(maps[key]) for key in maps.keys() - images.keys())
        if alone:
            raise SampleError(
                f'{root}: {len(alone)} files that match one of {self.patterns} have no partner, '
                f'the first is {alone[0]}'
            )
        return [(str(images[key]), str(maps[key])) for key in sorted(images)]


@DATASETS.register_module()
class KittiLidarDepth(DepthDataset):
    """Frames of a folder in KITTI's object layout; their LiDAR sweeps are the depth.

    KITTI's object data, SyntheticStreets, or own recordings: no box, no dense map is needed.
    ``LidarDepthTargets`` projects the sweep.

    Args:
        data_root: folder with ``training`` and ``ImageSets``.
        split: name of the list in ``ImageSets``.
        num_pts_feats: numbers of a point in the sweeps.
        **kwargs: see :class:`DepthDataset`.
    """

    def __init__(
        self, data_root: str = 'data/kitti', split: str = 'train', num_pts_feats: int = 4, **kwargs
    ) -> None:
        self.num_pts_feats = num_pts_feats
        super().__init__(data_root, split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record for each frame of the list.

        Raises:
            SampleError: for a frame without picture, sweep or calibration.
        """
        root = Path(self.data_root)
        path = root / 'ImageSets' / f'{self.split}.txt'
        if not path.is_file():
            raise missing_root_error('KittiLidarDepth', path, LIDAR_LAYOUT, LIDAR_SOURCE)
        folder = root / 'training'
        records = []
        for name in path.read_text().split():
            image = _first(folder, name, ('image_2/{}.png', 'image_2/{}.jpg'))
            # the points in the picture are all that is needed
            sweep = _first(folder, name, ('velodyne_reduced/{}.bin', 'velodyne/{}.bin'))
            calib = folder / 'calib' / f'{name}.txt'
            (camera,) = calibrated_images(calib, {'CAM2': str(image)})
            records.append(
                dict(
                    sample_id=name,
                    img_path=camera['img_path'],
                    lidar_path=str(sweep),
                    num_pts_feats=self.num_pts_feats,
                    cam2img=camera['cam2img'].tolist(),
                    lidar2img=camera['lidar2img'].tolist(),
                )
            )
        return records


def _matrix(fx: float, fy: float, cx: float, cy: float) -> list[list[float]]:
    return [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]


def _first(folder: Path, name: str, places: Sequence[str]) -> Path:
    """The first of several places where a frame has a file."""
    paths = [folder / place.format(name) for place in places]
    for path in paths:
        if path.is_file():
            return path
    raise SampleError(f'frame {name}: none of {list(map(str, paths))} exists')


def median_depth(targets: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
    """The best guesses without looking at the picture.

    Args:
        targets: depth maps of one size (H, W), 0 where unknown.

    Returns:
        The median of all depths, and for every row of pixels (H, 1) the median of its depths (that
        of all where no map has a depth in the row), in metres.

    Raises:
        ValueError: for no depth at all.
    """
    stack = np.stack(targets).astype(np.float64)
    stack[stack <= 0] = np.nan
    if np.isnan(stack).all():
        raise ValueError(f'no depth in {len(targets)} maps')
    overall = float(np.nanmedian(stack))
    rows = np.full((stack.shape[1], 1), overall)
    for row in range(stack.shape[1]):
        values = stack[:, row][~np.isnan(stack[:, row])]
        if len(values):
            rows[row] = np.median(values)
    return overall, rows
