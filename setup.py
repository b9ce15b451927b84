"""Installs mm3dpretrain into an environment that has torch.

``make demo`` and ``make test`` build a complete environment by themselves; this file serves those
who have one already. torch is not among the requirements on purpose: every torch has builds for
several CUDA versions, mmcv and spconv are compiled against one of them, and whatever pip would pick
in its place breaks them. An installation without torch is told so by ``import mm3dpretrain``.
"""

import sysconfig
from importlib import metadata
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def requirements(name: str) -> list[str]:
    """The lines of ``requirements/<name>.txt`` that are no comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def version() -> str:
    """``__version__`` of ``mm3dpretrain/version.py``, without importing the package."""
    scope: dict = {}
    exec((ROOT / 'mm3dpretrain' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


def torch_as_it_is() -> list[str]:
    """``torch==<installed version>``, or nothing where torch is not installed.

    Added to the extra that brings torchvision: left alone, pip takes the newest torchvision and
    with it replaces torch. The folder of packages is searched by its path, because pip builds this
    package in an isolated environment that does not see it.
    """
    folders = [sysconfig.get_path('purelib'), sysconfig.get_path('platlib')]
    found = next(iter(metadata.distributions(name='torch', path=folders)), None)
    return [f'torch=={found.version}'] if found else []


EXTRAS = {name: requirements(name) for name in ('det3d', 'clip', 'sparse', 'eval', 'shards', 'dev')}
EXTRAS['clip'] += torch_as_it_is()
EXTRAS['all'] = sorted({line for lines in EXTRAS.values() for line in lines})

README = ROOT / 'README.md'

setup(
    name='mm3dpretrain',
    version=version(),
    description='Multi-modal 3D pre-training on the OpenMMLab stack',
    long_description=README.read_text(encoding='utf-8') if README.is_file() else '',
    long_description_content_type='text/markdown',
    author='mm3dpretrain authors',
    license='Apache-2.0',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mm3dpretrain', 'mm3dpretrain.*']),
    install_requires=requirements('runtime'),
    extras_require=EXTRAS,
    zip_safe=False,
)
