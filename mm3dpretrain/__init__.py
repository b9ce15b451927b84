"""mm3dpretrain: multi-modal 3D pre-training on the OpenMMLab stack.

Importing this package makes the installed stack work (:mod:`mm3dpretrain.compat`) and nothing
more: parts are imported when a registry first looks for them, and plug-ins when
:func:`mm3dpretrain.utils.load_plugins` is called, as the tools do.
"""

from . import compat
from .version import __version__

compat.apply()

__all__ = ['__version__']
