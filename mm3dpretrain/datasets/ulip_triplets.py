"""ShapeNet-55 in the layout of ULIP: points, pictures of all 55 categories, and their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..registry import DATASETS
from .io import missing_root_error
from .shapenet55 import SHAPENET_NAMES, ShapeNet55

LAYOUT = """\
  <data_root>/{train,test}.txt                                       one <synset>-<model_id>.npy a line
  <data_root>/taxonomy.json                                          names of the categories
  <data_root>/shapenet_pc/<synset>-<model_id>.npy                    8192 x 3
  <data_root>/rendered_images/<synset>-<model_id>/*_r_<ddd>.png      30 pictures, 000 to 348
                                                 /*_r_<ddd>_depth0001.png"""  # noqa: E501
SOURCE = 'the ShapeNet-55 triplets of the ULIP project'


@DATASETS.register_module()
class ULIPTriplets(ShapeNet55):
    """ULIP's triplets of ShapeNet-55; a folder of your own in this layout works as well.

    Frame and keys are those of :class:`ShapeNet55`. ``caption`` is what ``captions.json`` says of
    the sample, where that file exists; else all names of its category in ``taxonomy.json`` (table,
    desk): ULIP draws one of them and fills it into prompt templates. Depth pictures are left out.

    Args:
        data_root: folder of the lists.
        data_prefix: other names for ``points``, ``lists``, ``images`` and ``attributes``.
        images: 'required' drops samples without pictures; 'optional'; 'none'.
        **kwargs: see :class:`ShapeNet55`.

    Raises:
        FileNotFoundError: if lists or clouds are missing.
        ValueError: for an empty or malformed list, or if no sample has pictures.
    """

    PREFIX = dict(
        points='shapenet_pc',
        lists='.',
        images='rendered_images',
        attributes='shapenet_attributes',
    )

    def __init__(
        self,
        data_root: str = 'data/shapenet-55',
        data_prefix: Mapping[str, str] | None = None,
        images: str = 'required',
        **kwargs,
    ) -> None:
        super().__init__(
            data_root=data_root,
            data_prefix=data_prefix,
            images=images,
            image_layout='ulip',
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Records of the listed files, with the names of their category as caption."""
        for name in ('lists', 'points'):
            path = Path(self.data_prefix[name])
            if not path.is_dir():
                raise missing_root_error('ULIPTriplets', path, LAYOUT, SOURCE)
        names = self._category_names()
        records = super().load_data_list()
        for record in records:
            if not record['caption']:
                record['caption'] = names.get(record['synset'], [])
        return records

    def _category_names(self) -> dict[str, list[str]]:
        """Synset -> its names, the most usual one first."""
        path = Path(self.data_root) / 'taxonomy.json'
        if not path.is_file():
            return {synset: [name] for synset, name in SHAPENET_NAMES.items()}
        return {
            entry['synsetId']: [name.strip() for name in entry['name'].split(',') if name.strip()]
            for entry in json.loads(path.read_text())
        }
