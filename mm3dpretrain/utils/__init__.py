from .plugins import load_plugins
from .setup import prepare_runtime

__all__ = ['load_plugins', 'prepare_runtime']
