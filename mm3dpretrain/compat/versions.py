"""The version lock of the OpenMMLab stack, explained instead of asserted.

mmdet3d 1.4.0, the newest release, refuses mmcv 2.2 and later, and so does mmdet 3.3.0. mmcv 2.1.0
in turn has no wheels for torch newer than 2.1: it is built from source. (mmdet3d's own ``mim``
extra asks for mmdet < 3.3.0; its code accepts 3.3.0, and the code is what counts.)
"""

from __future__ import annotations

import sys
from importlib import metadata

from mmengine.utils import digit_version

# package -> (lowest version, first version that is refused)
_OWN = {'torch': ('2.1.0', None), 'mmengine': ('0.10.4', '1.0.0')}
_MMCV = {'mmcv': ('2.0.0rc4', '2.2.0')}
_MMDET = {'mmdet': ('3.0.0rc5', '3.4.0')}
_MMDET3D = {'mmdet3d': ('1.4.0', '1.5.0')}

NEEDS: dict[str, dict[str, tuple[str, str | None]]] = {
    'mm3dpretrain': _OWN,
    'mmcv': {**_OWN, **_MMCV},
    'mmdet': {**_OWN, **_MMCV, **_MMDET},
    'mmdet3d': {**_OWN, **_MMCV, **_MMDET, **_MMDET3D},
}

_WHY = {
    'mmcv': 'mmdet 3.3.0 and mmdet3d 1.4.0, the newest releases, refuse mmcv 2.2 and later.',
    'mmdet': 'mmdet3d 1.4.0 works with mmdet 3.0.0rc5 to 3.3.0.',
    'mmdet3d': 'this package is written for mmdet3d 1.4.',
    'torch': 'this package is written for torch 2.1 and later.',
    'mmengine': 'this package is written for the MMEngine 0.10 series.',
}

_HOW = {
    'torch': "pip install 'torch>=2.1'   (mmcv has to be built again for a new torch)",
    'mmengine': 'pip install mmengine==0.10.7',
    'mmcv': "pip install ninja psutil 'setuptools<81' && MMCV_WITH_OPS=1 pip install "
    '--no-build-isolation --no-deps mmcv==2.1.0   (built from source, about 10 minutes)',
    'mmdet': 'pip install --no-deps mmdet==3.3.0',
    'mmdet3d': 'pip install --no-deps mmdet3d==1.4.0',
}


class VersionError(RuntimeError):
    """Installed versions do not work together.

    Not an ``ImportError`` on purpose: MMEngine's registries swallow those and later complain of an
    unknown name.
    """


def installed_version(package: str) -> str | None:
    """Version of an installed package, None where it is not installed."""
    # What is imported counts, and a source tree on the path has no metadata.
    imported = getattr(sys.modules.get(package), '__version__', None)
    if imported is not None:
        return str(imported)
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _fits(version: str, low: str, high: str | None) -> bool:
    # '2.13.0+cpu' is 2.13.0: the part behind the plus names a build.
    number = digit_version(version.partition('+')[0])
    return number >= digit_version(low) and (high is None or number < digit_version(high))


def check_versions(package: str = 'mmdet3d') -> dict[str, str]:
    """Check that the installed stack fits a package; nothing is imported for that.

    Called by itself when ``mmdet`` or ``mmdet3d`` is imported.

    Args:
        package: ``'mm3dpretrain'`` (torch and MMEngine alone), ``'mmcv'``, ``'mmdet'`` or
            ``'mmdet3d'``: the package that is going to be used.

    Returns:
        The versions found.

    Raises:
        ValueError: Not one of those packages.
        VersionError: Something is missing or does not fit; the message is a table of what was
            found and what is needed, the reason, and the commands that mend it.
    """
    if package not in NEEDS:
        raise ValueError(f'no version rules for {package!r}: known are {", ".join(NEEDS)}')
    found = {name: installed_version(name) for name in NEEDS[package]}
    lines, wrong = [], []
    for name, (low, high) in NEEDS[package].items():
        fits = found[name] is not None and _fits(found[name], low, high)
        needed = f'>={low}' + (f',<{high}' if high else '')
        lines.append(
            f'  {name:<9} {found[name] or "missing":<14} {needed:<18} {"" if fits else "<--"}'
        )
        if not fits:
            wrong.append(name)
    if not wrong:
        return found
    raise VersionError(
        '\n'.join(
            [
                f'{package} cannot be used with the installed versions of {", ".join(wrong)}.',
                '  package   installed      needed',
                *(line.rstrip() for line in lines),
                'Why: ' + ' '.join(_WHY[name] for name in wrong),
                'To mend it:',
                *(f'  {_HOW[name]}' for name in wrong),
                'See docs/installation.md; `make setup` in a checkout builds a stack that fits.',
            ]
        )
    )
