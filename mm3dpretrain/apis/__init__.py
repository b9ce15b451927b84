from .checkpoint import (
    LoadReport,
    check_conventions,
    compare_keys,
    config_of,
    load_pretrained,
    load_weights,
    read_checkpoint,
    strip_prefix,
)
from .export import ExportResult, export_backbone
from .features import calibrate_batch_norm, extract_features, isolated_rng
from .retrieval import Retriever, ShapeIndex, read_index, write_index
from .shape_encoder import ShapeEncoder
from .zero_shot import ZeroShotClassifier, build_text_space

__all__ = [
    'ExportResult',
    'LoadReport',
    'Retriever',
    'ShapeEncoder',
    'ShapeIndex',
    'ZeroShotClassifier',
    'build_text_space',
    'calibrate_batch_norm',
    'check_conventions',
    'compare_keys',
    'config_of',
    'export_backbone',
    'extract_features',
    'isolated_rng',
    'load_pretrained',
    'load_weights',
    'read_checkpoint',
    'read_index',
    'strip_prefix',
    'write_index',
]
