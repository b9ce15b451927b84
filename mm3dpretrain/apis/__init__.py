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
from .features import calibrate_batch_norm, extract_features, isolated_rng

__all__ = [
    'LoadReport',
    'calibrate_batch_norm',
    'check_conventions',
    'compare_keys',
    'config_of',
    'extract_features',
    'isolated_rng',
    'load_pretrained',
    'load_weights',
    'read_checkpoint',
    'strip_prefix',
]
