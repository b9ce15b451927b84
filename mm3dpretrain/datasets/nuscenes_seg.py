"""LiDAR segmentation on nuScenes for mmdet3d 1.4, which has no data set for it.

Importing this file needs mmdet3d; configs name it in ``custom_imports``.
"""

from __future__ import annotations

import numpy as np
from mmdet3d.datasets import Seg3DDataset

from ..registry import DATASETS
from .io import SampleError

# the 32 labels of the files -> the 16 classes of the benchmark, in alphabetical order of the things
# and then the stuff; 16 is ignored (noise, animals, ambulances, debris, ...)
CLASS_OF_LABEL = {
    **dict.fromkeys((2, 3, 4, 6), 6),  # pedestrian: adult, child, worker, police officer
    9: 0,  # barrier
    12: 7,  # traffic cone
    14: 1,  # bicycle
    **dict.fromkeys((15, 16), 2),  # bus: bendy, rigid
    17: 3,  # car
    18: 4,  # construction vehicle
    21: 5,  # motorcycle
    22: 8,  # trailer
    23: 9,  # truck
    24: 10,  # driveable surface
    25: 11,  # other flat
    26: 12,  # sidewalk
    27: 13,  # terrain
    28: 14,  # manmade
    30: 15,  # vegetation
}
NUM_LABELS = 32
IGNORED = 16


@DATASETS.register_module()
class NuScenesSegDataset(Seg3DDataset):
    """Key frames of nuScenes with a label for each point (nuScenes-lidarseg).

    Reads ``nuscenes_infos_{train,val}.pkl`` as mmdet3d's ``tools/create_data.py nuscenes`` writes
    them when the archive nuScenes-lidarseg is unpacked beside the tables: they then name the file
    of labels of each key frame (uint8, one a point, 0 to 31). Points: x right, y forward, z up in
    metres, intensity in [0, 255], ring.

    Args:
        **kwargs: see mmdet3d's ``Seg3DDataset``. ``ignore_index`` is 16 unless given;
            ``data_prefix`` has ``pts`` and ``pts_semantic_mask``.
    """

    METAINFO = dict(
        classes=(
            *('barrier', 'bicycle', 'bus', 'car', 'construction_vehicle', 'motorcycle'),
            *('pedestrian', 'traffic_cone', 'trailer', 'truck', 'driveable_surface', 'other_flat'),
            *('sidewalk', 'terrain', 'manmade', 'vegetation'),
        ),
        palette=[
            *([112, 128, 144], [220, 20, 60], [255, 127, 80], [255, 158, 0], [233, 150, 70]),
            *([255, 61, 99], [0, 0, 230], [47, 79, 79], [255, 140, 0], [255, 99, 71]),
            *([0, 207, 191], [175, 0, 75], [75, 0, 75], [112, 180, 60], [222, 184, 135]),
            [0, 175, 0],
        ],
        seg_valid_class_ids=tuple(range(16)),
        seg_all_class_ids=tuple(range(16)),
    )

    def __init__(self, metainfo: dict | None = None, **kwargs) -> None:
        # the parent reads the classes from the argument
        metainfo = {'classes': self.METAINFO['classes'], **(metainfo or {})}
        super().__init__(metainfo=metainfo, **kwargs)

    def get_seg_label_mapping(self, metainfo: dict | None = None) -> np.ndarray:
        """(32,) int64: class of each label of the files, or ``IGNORED``."""
        return np.array([CLASS_OF_LABEL.get(label, IGNORED) for label in range(NUM_LABELS)])

    def parse_data_info(self, info: dict) -> dict:
        """Join paths.

        Raises:
            SampleError: if the info file names no labels.
        """
        if 'pts_semantic_mask_path' not in info:
            raise SampleError(
                f'{self.ann_file} names no labels of points (frame '
                f'{info["lidar_points"]["lidar_path"]}): unpack nuScenes-lidarseg into '
                f'{self.data_root} and write the info files again with '
                "mmdet3d's tools/create_data.py nuscenes"
            )
        return super().parse_data_info(info)
