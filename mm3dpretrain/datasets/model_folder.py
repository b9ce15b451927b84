"""The models of a folder: which files, of which class and split, under which name."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from .mesh_io import MESH_SUFFIXES, stable_seed
from .shapenet55 import SHAPENET_NAMES

SPLITS = ('train', 'val', 'test')
NO_CLASS = 'shape'  # what models are called that lie in no class folder


@dataclass(frozen=True)
class Model:
    """One model file.

    Attributes:
        id: ``<synset>-<model>``, unique, without blanks, the name of all its files.
        synset: the class in file names: its folder's name, without ``-`` and blanks.
        name: the model in file names.
        category: the class, as people call it.
        split: 'train', 'val' or 'test'.
        file: path relative to the folder, with ``/``.
    """

    id: str
    synset: str
    name: str
    category: str
    split: str
    file: str


def find_models(root: str | os.PathLike, test_fraction: float = 0.0) -> list[Model]:
    """All mesh files below a folder, sorted by path.

    The class is the first folder of a path, and 'shape' for files directly in ``root``. A folder
    ``train``, ``val`` or ``test`` above or below it is the split; without any, a hash of the path
    puts the given share into 'test' and the rest into 'train'. Names that would be equal (the same
    stem in two splits, two suffixes) get a hash of their path behind them.

    Args:
        root: folder ``<class>/[train|val|test/]<name>.<suffix>``, ``<class>/<name>.<suffix>`` or
            ``<name>.<suffix>``; deeper folders become part of the name. Hidden files are left out.
        test_fraction: share in [0, 1) of the models without a split folder.

    Raises:
        FileNotFoundError: if the folder does not exist or has no such file.
        ValueError: for files both with and without a class folder, for classes whose names cannot
            be told apart, or an impossible fraction.
    """
    root = Path(root)
    if not 0 <= test_fraction < 1:
        raise ValueError(f'test_fraction must be in [0, 1), got {test_fraction}')
    if not root.is_dir():
        raise FileNotFoundError(f'{root} is no folder')
    files = sorted(_mesh_files(root))
    if not files:
        raise FileNotFoundError(f'no {", ".join(MESH_SUFFIXES)} files below {root}')
    models = [_model(file, test_fraction) for file in files]
    loose = [model for model in models if model.category == NO_CLASS and '/' not in model.file]
    if loose and len(loose) < len(models):
        raise ValueError(
            f'{root} has files in class folders and files without a class such as {loose[0].file}: '
            'move them'
        )
    categories: dict[str, str] = {}
    for model in models:
        other = categories.setdefault(model.synset, model.category)
        if other != model.category:
            raise ValueError(
                f'{root}: the classes {other!r} and {model.category!r} would both be called '
                f'{model.synset!r} in file names: rename one'
            )
    by_id = defaultdict(list)
    for model in models:
        # file systems may not tell A from a
        by_id[model.id.lower()].append(model)
    found = []
    for group in by_id.values():
        for model in group:
            if len(group) > 1:
                mark = hashlib.sha256(model.file.encode()).hexdigest()[:8]
                name = f'{model.name}_{mark}'
                model = replace(model, id=f'{model.synset}-{name}', name=name)
            found.append(model)
    return sorted(found, key=lambda model: model.file)


def _mesh_files(root: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith('.')]
        for name in names:
            path = Path(folder) / name
            if name.startswith('.') or path.suffix.lower() not in MESH_SUFFIXES:
                continue
            # a pipe or a device would block its reader for ever; a link to a missing file is a
            # model that fails, and not one that nobody misses
            if path.is_file() or not path.exists():
                found.append(path.relative_to(root))
    return found


def _model(file: Path, test_fraction: float) -> Model:
    folders = list(file.parts[:-1])
    split = next((name for name in folders[:2] if name.lower() in SPLITS), None)
    if split is not None:
        folders.remove(split)
        split = split.lower()
    elif stable_seed(file.as_posix()) < test_fraction * 2**32:
        split = 'test'
    else:
        split = 'train'
    category = folders[0] if folders else NO_CLASS
    synset = _plain(category).replace('-', '_')
    name = _plain('_'.join([*folders[1:], file.stem]))
    category = SHAPENET_NAMES.get(category, category.replace(',', ' '))
    return Model(f'{synset}-{name}', synset, name, category, split, file.as_posix())


def _plain(name: str) -> str:
    """The name without blanks, which end a name in the lists, and without separators."""
    return re.sub(r'[^\w.+-]', '_', name)
