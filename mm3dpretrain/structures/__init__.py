from .cameras import Cameras, look_at
from .meshes import Meshes
from .pretrain_data_sample import PretrainDataSample

__all__ = ['Cameras', 'look_at', 'Meshes', 'PretrainDataSample']
