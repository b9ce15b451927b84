"""Meshes of a user, rendered by ``tools/dataset_converters/render_views.py``."""

from __future__ import annotations

import json
from pathlib import Path

from ..registry import DATASETS
from .io import missing_root_error
from .rendered_views import MANIFEST
from .shapenet55 import ShapeNet55

LAYOUT = f"""\
  <data_root>/{MANIFEST}, taxonomy.json
  <data_root>/ShapeNet55-34/, ShapeNetRendering/, shapenet_attributes/"""
SOURCE = 'python tools/dataset_converters/render_views.py MESHES <data_root>'


@DATASETS.register_module()
class RenderedShapes(ShapeNet55):
    """Points, pictures and cameras of the user's own meshes.

    Frame: +y up; unit and place as ``render_views.json`` says (``normalization`` of every record).
    Points carry colour and normal. Classes are the folders of the input.

    Args:
        data_root: output folder of the tool, with the layout 'shapenet'.
        split: 'train', 'val' or 'test', of those that the input had.
        images: as in :class:`ShapeNet55`.
        **kwargs: see :class:`ShapeNet55`.

    Raises:
        FileNotFoundError: if there is no such set.
        ValueError: if the set is not complete, or without the layout 'shapenet'.
    """

    def __init__(
        self, data_root: str, split: str = 'train', images: str = 'required', **kwargs
    ) -> None:
        manifest = read_manifest(data_root)
        metainfo = {key: manifest[key] for key in ('gravity_axis', 'normalization')}
        kwargs['metainfo'] = {**metainfo, **(kwargs.get('metainfo') or {})}
        if 'expected_count' not in kwargs:
            splits = manifest['splits']
            whole = kwargs.get('whole', False)
            kwargs['expected_count'] = sum(splits.values()) if whole else splits.get(split)
        super().__init__(data_root=data_root, split=split, images=images, **kwargs)


def read_manifest(data_root: str) -> dict:
    """``render_views.json`` of a complete set.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, the set is not complete, or has another layout.
    """
    path = Path(data_root) / MANIFEST
    if not path.is_file():
        raise missing_root_error('RenderedShapes', path, LAYOUT, SOURCE)
    try:
        manifest = json.loads(path.read_text())
        layouts = manifest['settings']['layouts']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is damaged ({error}): make the set again') from error
    if not manifest.get('complete'):
        raise ValueError(f'{path}: the set is not complete; the same command goes on with it')
    if 'shapenet' not in layouts:
        raise ValueError(f'{path}: made with the layouts {layouts}; --layout shapenet is needed')
    return manifest
