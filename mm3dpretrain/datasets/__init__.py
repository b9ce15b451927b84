from .base_shape import BaseShapeDataset
from .concat_dataset import ConcatDataset
from .io import SampleError
from .samplers import SeededSampler
from .shapenet55 import ShapeNet55

__all__ = ['BaseShapeDataset', 'ConcatDataset', 'SampleError', 'SeededSampler', 'ShapeNet55']
