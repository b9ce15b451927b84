"""Run a function just before or just after a module is imported, without importing it."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable
from types import ModuleType

Callback = Callable[[ModuleType], None]


class _Loader(importlib.abc.Loader):
    """Stands in for a module's loader until the module is executed, then steps aside."""

    def __init__(self, loader, before: list[Callback], after: list[Callback]) -> None:
        self._loader = loader
        self._before = before
        self._after = after

    def __getattr__(self, name: str):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module shall see its own loader: resources and source are read through it.
        module.__spec__.loader = module.__loader__ = self._loader
        for callback in self._before:
            callback(module)
        self._loader.exec_module(module)
        for callback in self._after:
            callback(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Knows the watched names; every other import passes it after one dictionary look-up."""

    def __init__(self) -> None:
        self.before: dict[str, list[Callback]] = {}
        self.after: dict[str, list[Callback]] = {}

    def find_spec(self, fullname: str, path=None, target=None):
        if fullname not in self.before:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, 'find_spec'):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is None:
                continue
            if spec.loader is not None:
                spec.loader = _Loader(spec.loader, self.before[fullname], self.after[fullname])
            return spec
        return None


_FINDER = _Finder()


def when_imported(name: str, before: Callback | None = None, after: Callback | None = None) -> None:
    """Call back around the import of one module.

    A module that is there already gets ``after`` at once; ``before`` has come too late for it.
    Registering a callback twice has no further effect. An exception raised by a callback leaves
    the ``import`` statement as it is.

    Args:
        name: Full dotted name of the module.
        before: Called with the new module before its code runs (``__spec__`` and ``__path__`` are
            set).
        after: Called with the imported module.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    befores = _FINDER.before.setdefault(name, [])
    afters = _FINDER.after.setdefault(name, [])
    if before is not None and before not in befores:
        befores.append(before)
    if after is not None and after not in afters:
        afters.append(after)
        if name in sys.modules:
            after(sys.modules[name])
