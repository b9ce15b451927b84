"""Parts that other installed packages bring along."""

from __future__ import annotations

from importlib.metadata import entry_points

from mmengine.logging import print_log

GROUP = 'mm3dpretrain.plugins'
_loaded: set[str] = set()


def load_plugins() -> list[str]:
    """Import every module that installed packages announce in the group ``mm3dpretrain.plugins``.

    A package announces itself in its ``setup.py`` or ``pyproject.toml``::

        entry_points={'mm3dpretrain.plugins': ['my_parts = my_package.parts']}

    Importing the module registers its parts. A plug-in that fails to import is reported and left
    out, so that one broken package does not stop everybody's training; a config that needs its
    parts then fails with the registry's own message. Calling this again imports only new ones.

    Returns:
        Names of the entry points imported by this call.
    """
    names = []
    for entry in entry_points(group=GROUP):
        key = f'{entry.name}={entry.value}'
        if key in _loaded:
            continue
        try:
            entry.load()
        except Exception as error:  # third-party code may raise anything
            print_log(
                f'plug-in {entry.name!r} ({entry.value}) could not be imported and is left out: '
                f'{type(error).__name__}: {error}',
                logger='current',
                level=30,
            )
            continue
        _loaded.add(key)
        names.append(entry.name)
    return names
