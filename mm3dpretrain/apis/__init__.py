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

__all__ = [
    'ExportResult',
    'LoadReport',
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
    'strip_prefix',
]
