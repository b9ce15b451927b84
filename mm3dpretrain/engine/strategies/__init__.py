from .deepspeed import DeepSpeedStrategy
from .fsdp import FSDPStrategy
from .sharding import is_sharded, whole_parameters

__all__ = ['DeepSpeedStrategy', 'FSDPStrategy', 'is_sharded', 'whole_parameters']
