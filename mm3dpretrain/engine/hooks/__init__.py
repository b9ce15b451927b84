from .activation_checkpoint_hook import ActivationCheckpointHook
from .ema_hook import EMAHook
from .freeze_hook import FreezePartsHook
from .load_report_hook import LoadReportHook
from .meta_hook import CheckpointMetaHook
from .probe_hook import ProbeHook
from .seed_hook import IterSeedHook

__all__ = [
    'ActivationCheckpointHook',
    'CheckpointMetaHook',
    'EMAHook',
    'FreezePartsHook',
    'IterSeedHook',
    'LoadReportHook',
    'ProbeHook',
]
