"""Triplets in the layout of OpenShape: coloured points with features of pictures and texts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..registry import DATASETS
from .base_shape import BaseShapeDataset
from .io import SampleError, check_cloud, missing_root_error, read_array_pickle

OBJAVERSE = 'Objaverse'
SOURCES = ('text', 'caption', 'retrieval_text')
CAPTIONS = ('blip_caption', 'msft_caption')
# raw texts of the source, two captions of the picture, texts of similar pictures
POOLS = ('text', *CAPTIONS, 'retrieval_text')
NAMED = 5
LAYOUT = """\
  <data_root>/meta_data/split/{train_all,train_no_lvis,lvis}.json       lists of items
  <data_root>/meta_data/split/ablation/train_shapenet_only.json
  <data_root>/meta_data/gpt4_filtering.json                             optional
  <data_root>/<data_path of an item>                                    one .npy a shape"""
SOURCE = 'the training data of the OpenShape project (openshape-training-data)'


def swap_yz(points: np.ndarray) -> np.ndarray:
    """Exchange the second and third column of (N, C >= 3) points: +y up becomes +z up.

    This is OpenShape's step and a reflection, not a rotation: left and right change sides.
    """
    swapped = points.copy()
    swapped[:, 1], swapped[:, 2] = points[:, 2], points[:, 1]
    return swapped


@DATASETS.register_module()
class OpenShapeTriplets(BaseShapeDataset):
    """OpenShape's shapes (Objaverse, ShapeNet, ABO, 3D-FUTURE) with their CLIP features.

    Frame: +z up after the swap that OpenShape makes, coordinates in [-1, 1] as stored. Colours
    follow the coordinates, in [0, 1]. What a sample has before its pipeline, besides the keys of
    :class:`BaseShapeDataset`:

    - ``points`` (N, 6) float32 with ``point_channels`` (``LoadPoints(attributes=['rgb'])`` leaves
      them as they are);
    - ``image_features`` (V, D): the thumbnail, for shapes of Objaverse, then the renders; with
      ``image_weights`` (V,), their probabilities in OpenShape's draw: the thumbnail 1/2, the
      renders alike;
    - ``text_features`` (K, D), ``caption`` (list of the K texts) and ``text_weights`` (K,): a
      source is drawn among raw text, caption (one of two models, by a coin) and retrieved text,
      then a text of that source. A source, or the caption that the coin shows, that has no text
      takes no part. Raw texts of Objaverse are the first one only, and none where
      ``gpt4_filtering.json`` flags it ``N``.

    ``image_features`` or ``text_features`` are missing where there are none: such samples are kept.
    Features are those of OpenCLIP ViT-bigG-14 (1280) in the published files, in any precision.

    Args:
        data_root: folder with ``meta_data``.
        data_prefix: ``meta`` and ``points``, the folder that ``data_path`` is relative to; a path
            that is absolute in the list and does not exist is looked for in ``points``, from its
            part named like the item's ``dataset`` on.
        split: name of a list in ``meta_data/split`` or ``meta_data/split/ablation``, without
            ``.json``. A list whose items have a ``category`` ('lvis') gives labels, in the
            alphabetical order of all categories.
        text_sources: of 'text', 'caption', 'retrieval_text'.
        text_filter: leave out the raw texts that ``gpt4_filtering.json`` flags.
        prompt_average: take the features that are averaged over prompts (``prompt_avg``) rather
            than ``original``, for raw texts and captions; retrieved texts never have prompts.
        swap_gravity: False keeps +y up.
        **kwargs: see :class:`BaseShapeDataset`.

    Raises:
        FileNotFoundError: if a list is missing, or every listed file.
        ValueError: for unknown sources or a malformed list.
    """

    METAINFO = dict(gravity_axis='z', normalization='none')
    PREFIX = dict(meta='meta_data', points='')

    def __init__(
        self,
        data_root: str = 'data/openshape',
        data_prefix: Mapping[str, str] | None = None,
        split: str = 'train_all',
        text_sources: tuple[str, ...] = SOURCES,
        text_filter: bool = True,
        prompt_average: bool = True,
        swap_gravity: bool = True,
        pipeline: tuple = (),
        metainfo: Mapping | None = None,
        **kwargs,
    ) -> None:
        unknown = set(text_sources) - set(SOURCES)
        if unknown:
            raise ValueError(f'text_sources must be of {SOURCES}, got {sorted(unknown)}')
        unknown = set(data_prefix or {}) - set(self.PREFIX)
        if unknown:
            raise ValueError(f'unknown data_prefix {sorted(unknown)}, known: {list(self.PREFIX)}')
        self.text_sources = tuple(text_sources)
        self.text_filter = text_filter
        self.missing_files: list[str] = []
        axis = {} if swap_gravity else {'gravity_axis': 'y'}
        read = ReadOpenShape(self.text_sources, prompt_average, swap_gravity)
        super().__init__(
            data_root=data_root,
            data_prefix={**self.PREFIX, **(data_prefix or {})},
            split=split,
            pipeline=[read, *pipeline],
            metainfo={**axis, **(metainfo or {})},
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """One record for each listed item whose file is there; the others are counted."""
        items = self._read_split()
        flags = self._read_filter()
        if all('category' in item for item in items):
            self.set_classes(sorted({item['category'] for item in items}))
        classes = self._metainfo.get('classes', ())
        label_of = {name: label for label, name in enumerate(classes)}
        listed: dict[str, set[str]] = {}
        records = []
        self.missing_files = []
        for item in items:
            path = self._find(item, listed)
            if path is None:
                self.missing_files.append(item['data_path'])
                continue
            uid = item.get('id', item.get('uid'))
            source = item.get('dataset', OBJAVERSE)
            records.append(
                self.record(
                    f'{source}/{uid}',
                    synset=item.get('category', source),
                    model_id=uid,
                    gt_label=label_of.get(item.get('category'), -1),
                    points_path=path,
                    source=source,
                    use_raw_text=flags.get(uid) != 'N' or source != OBJAVERSE,
                )
            )
        self._report_missing(len(items))
        return records

    # ------------------------------------------------------------------ parts

    def _read_split(self) -> list[dict]:
        folder = Path(self.data_prefix['meta']) / 'split'
        places = [folder / f'{self.split}.json', folder / 'ablation' / f'{self.split}.json']
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise missing_root_error('OpenShapeTriplets', places[0], LAYOUT, SOURCE)
        items = _read_json(path)
        if not isinstance(items, list) or not items:
            raise ValueError(f'{path}: a list of items is wanted')
        for item in items:
            if 'data_path' not in item or not ('id' in item or 'uid' in item):
                raise ValueError(f'{path}: every item needs data_path and id (or uid), got {item}')
        return items

    def _read_filter(self) -> dict[str, str]:
        """uid -> flag, 'N' where the raw text is no description of the shape."""
        if not self.text_filter or 'text' not in self.text_sources:
            return {}
        path = Path(self.data_prefix['meta']) / 'gpt4_filtering.json'
        if not path.is_file():
            self._warn(f'OpenShapeTriplets: no {path}: raw texts are used as they are')
            return {}
        return {uid: entry['flag'] for uid, entry in _read_json(path).items()}

    def _find(self, item: dict, listed: dict[str, set[str]]) -> str | None:
        """Where the file of an item lies; folders are listed once, not asked for every file."""
        path = PurePosixPath(item['data_path'])
        points = self.data_prefix.get('points') or self.data_root
        places = [os.path.join(points, path)]
        if path.is_absolute():
            source = item.get('dataset', OBJAVERSE)
            start = path.parts.index(source) if source in path.parts else -1
            places.append(os.path.join(points, *path.parts[start:]))
        for place in places:
            folder, name = os.path.split(place)
            if folder not in listed:
                listed[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
            if name in listed[folder]:
                return place
        return None

    def _report_missing(self, count: int) -> None:
        if not self.missing_files:
            return
        some = ', '.join(self.missing_files[:NAMED])
        text = f'{len(self.missing_files)} of {count} listed files do not exist, such as {some}'
        if len(self.missing_files) == count:
            raise FileNotFoundError(
                f'OpenShapeTriplets: {text}.\nPut them below {self.data_root}, or set '
                f'data_prefix=dict(points=...).\nExpected layout:\n{LAYOUT}\nSee docs/datasets.md.'
            )
        self._warn(f'OpenShapeTriplets: {text}; they are left out (all in dataset.missing_files)')


class ReadOpenShape:
    """Read the file of a record of :class:`OpenShapeTriplets`; the arguments are explained there.

    Raises:
        SampleError: if the file is missing or broken, or lacks points or colours.
    """

    def __init__(
        self, text_sources: tuple[str, ...], prompt_average: bool, swap_gravity: bool
    ) -> None:
        self.text_sources = text_sources
        self.version = 'prompt_avg' if prompt_average else 'original'
        self.swap_gravity = swap_gravity

    def __call__(self, record: dict) -> dict:
        path = record['points_path']
        data = read_array_pickle(path)
        if not isinstance(data, dict) or 'xyz' not in data:
            raise SampleError(f"{path}: no dict with 'xyz', got {type(data).__name__}")
        record['points'] = colored_points(data['xyz'], data.get('rgb'), path, self.swap_gravity)
        record.update(point_channels=('x', 'y', 'z', 'r', 'g', 'b'), extra_columns={'rgb': (3, 6)})
        try:
            self._add_images(record, data)
            self._add_texts(record, data)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise SampleError(
                f'{path}: features are not as OpenShape stores them ({type(error).__name__}: '
                f'{error})'
            ) from error
        return record

    @staticmethod
    def _add_images(record: dict, data: dict) -> None:
        """The thumbnail counts as much as all renders, and for Objaverse only."""
        renders = data.get('image_feat')
        rows, weights = [], []
        if record['source'] == OBJAVERSE and data.get('thumbnail_feat') is not None:
            rows.append(_rows(data['thumbnail_feat'], record))
            weights.append(np.array([0.5]))
        if renders is not None and len(renders):
            rows.append(_rows(renders, record))
            weights.append(np.full(len(rows[-1]), 0.5 / len(rows[-1])))
        if rows:
            record['image_features'] = np.concatenate(rows)
            record['image_weights'] = _normalized(np.concatenate(weights))

    def _add_texts(self, record: dict, data: dict) -> None:
        pools = {name: self._texts(name, record, data) for name in POOLS}
        weights = 0.0
        # OpenShape's draw: a coin chooses the caption model, then every source that has a text is
        # as likely as the others
        for shown in CAPTIONS:
            active = {n for n, pool in pools.items() if pool and (n == shown or n not in CAPTIONS)}
            shares = [
                np.full(len(pool), (name in active) / (len(active) * len(pool)))
                for name, pool in pools.items()
                if pool and active
            ]
            weights = weights + (np.concatenate(shares) if shares else 0.0)
        members = [member for pool in pools.values() for member in pool]
        if members:
            record['caption'] = [text for text, _ in members]
            record['text_features'] = np.concatenate([_rows(f, record) for _, f in members])
            record['text_weights'] = _normalized(weights)

    def _texts(self, name: str, record: dict, data: dict) -> list[tuple[str, np.ndarray]]:
        """(text, feature) of one source; [] if it is not wanted or has nothing."""
        if name in CAPTIONS:
            if 'caption' not in self.text_sources or not data.get(name):
                return []
            return [(str(data[name]), data[f'{name}_feat'][self.version])]
        texts = data.get(name)
        if name not in self.text_sources or texts is None or not len(texts):
            return []
        if name == 'retrieval_text':
            features = [entry['original'] for entry in data['retrieval_text_feat'][: len(texts)]]
        else:
            if not record['use_raw_text']:
                return []
            if record['source'] == OBJAVERSE:
                texts = texts[:1]
            features = [entry[self.version] for entry in data['text_feat'][: len(texts)]]
        if len(features) < len(texts):
            raise IndexError(f'{len(texts)} entries of {name!r}, {len(features)} features')
        return [(str(text), feature) for text, feature in zip(texts, features)]


def colored_points(
    xyz: Any, rgb: Any, source: str, swap: bool, full_scale: float = 1.0, grey: float = 0.4
) -> np.ndarray:
    """Coordinates and colours as one cloud.

    Args:
        xyz: (N, 3).
        rgb: (N, 3), or None: every point gets ``grey``.
        source: file that errors name.
        swap: exchange y and z (see :func:`swap_yz`).
        full_scale: value of ``rgb`` that stands for 1.
        grey: in [0, 1].

    Returns:
        (N, 6) float32.

    Raises:
        SampleError: for other shapes, values that are not finite, or colours outside [0, 1].
    """
    points = check_cloud(xyz, source)[:, :3]
    if rgb is None:
        colors = np.full((len(points), 3), grey, np.float32)
    else:
        colors = check_cloud(rgb, f'{source}, colours') / np.float32(full_scale)
        if colors.shape != points.shape:
            raise SampleError(f'{source}: {points.shape} points but {colors.shape} colours')
        low, high = float(colors.min()), float(colors.max())
        # a little more than 1 comes from rounding
        if low < -1e-3 or high > 1 + 1e-3:
            raise SampleError(f'{source}: colours from {low:g} to {high:g}, [0, 1] wanted')
    points = np.concatenate([points, colors], axis=1)
    return swap_yz(points) if swap else points


def _rows(feature: Any, record: dict) -> np.ndarray:
    """A feature (D,), (1, D) or several (V, D) as (V, D), finite, in its own precision."""
    rows = np.asarray(feature)
    if not np.issubdtype(rows.dtype, np.floating) or rows.ndim not in (1, 2) or rows.size == 0:
        raise SampleError(
            f'{record["points_path"]}: a feature must be (D,) or (V, D) of floats, got '
            f'{rows.shape} of {rows.dtype}'
        )
    if not np.isfinite(rows).all():
        raise SampleError(f'{record["points_path"]}: a feature has NaN or infinite values')
    return rows.reshape(-1, rows.shape[-1])


def _normalized(weights: np.ndarray) -> np.ndarray:
    return (weights / weights.sum()).astype(np.float32)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ValueError(f'{path}: cannot read it as JSON ({error})') from error
