from .base_shape import BaseShapeDataset
from .class_embeddings import ClassEmbeddings, read_class_embeddings, write_class_embeddings
from .completion import PCN, ShapeNet55Completion
from .concat_dataset import ConcatDataset
from .depth import KittiDepth, KittiLidarDepth, NYUDepth
from .exported_frames import ScanNetFrames, ShapeFrames, SyntheticRoomsFrames
from .few_shot import FewShotFold, ModelNetFewShot
from .folder_frames import SevenScenesFrames, SUNRGBDFrames, TUMFrames
from .io import SampleError
from .kitti_pairs import KittiPairs, KittiRawPairs
from .modelnet import ModelNetHDF5, ModelNetOFF, ModelNetResampled
from .nuscenes_pairs import NuScenesPairs
from .openshape import OpenShapeTriplets
from .openshape_eval import OpenShapeModelNet40, OpenShapeScanObjectNN
from .packed import Cc0Objects, Lpsb19Parts, Shapes69
from .pairs import BasePairs
from .rendered_shapes import RenderedShapes
from .rgbd_frames import RGBDFrames
from .samplers import SeededSampler
from .scanobjectnn import ScanObjectNN
from .shapenet55 import ShapeNet55
from .shapenetpart import ShapeNetPart
from .shards import ShardedTriplets
from .ulip_triplets import ULIPTriplets
from .user_folder import UserFolder
from .waymo_pairs import WaymoPairs

__all__ = [
    'BasePairs',
    'BaseShapeDataset',
    'Cc0Objects',
    'ClassEmbeddings',
    'ConcatDataset',
    'FewShotFold',
    'KittiDepth',
    'KittiLidarDepth',
    'KittiPairs',
    'KittiRawPairs',
    'Lpsb19Parts',
    'ModelNetFewShot',
    'ModelNetHDF5',
    'ModelNetOFF',
    'ModelNetResampled',
    'NYUDepth',
    'NuScenesPairs',
    'OpenShapeModelNet40',
    'OpenShapeScanObjectNN',
    'OpenShapeTriplets',
    'PCN',
    'RGBDFrames',
    'RenderedShapes',
    'SUNRGBDFrames',
    'SampleError',
    'ScanNetFrames',
    'ScanObjectNN',
    'SeededSampler',
    'SevenScenesFrames',
    'ShapeFrames',
    'ShapeNet55',
    'ShapeNet55Completion',
    'ShapeNetPart',
    'ShardedTriplets',
    'Shapes69',
    'SyntheticRoomsFrames',
    'TUMFrames',
    'ULIPTriplets',
    'UserFolder',
    'WaymoPairs',
    'read_class_embeddings',
    'write_class_embeddings',
]
