"""From a file or an array to the embedding of a shape, prepared as the checkpoint was trained."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mm3dpretrain.datasets.base import build_transforms
from mm3dpretrain.datasets.io import SampleError, check_cloud
from mm3dpretrain.datasets.mesh_io import read_cloud
from mm3dpretrain.datasets.transforms.base import RGB, XYZ

from .checkpoint import load_pretrained
from .features import evaluating, isolated_rng

#: deterministic steps of a training pipeline that inference repeats
STEPS = ('SamplePoints', 'NormalizePoints', 'FillColors')
#: points drawn from a mesh, before the encoder's number is drawn of them
MESH_POINTS = 16384
Shape = str | os.PathLike | np.ndarray | Tensor


class ShapeEncoder:
    """A pre-trained model that embeds shapes into the space of images and texts.

    Shapes are prepared as in the training: gravity axis and channels of the checkpoint's meta
    information; number of points, normalisation and grey of the training pipeline in its config.
    What is random in training (rotation, jitter, dropped colours) is left out, and the draw of the
    points has a fixed seed: the same shape has the same embedding.

    Args:
        model: a checkpoint of a training, or its model; ``extract_feat`` must give ``embed``.
        config: see :func:`~mm3dpretrain.apis.load_pretrained`; for a checkpoint.
        num_points: of the encoder's input; default that of the training pipeline.
        device: where to compute; default where the model is.
        batch_size: shapes at a time.
        seed: of the draw of the points.

    Raises:
        FileNotFoundError, RuntimeError: for a checkpoint that cannot be loaded.
        ValueError: if the number of points is not known, or the encoder wants channels that a file
            does not give.
    """

    def __init__(
        self,
        model: str | os.PathLike | nn.Module,
        config: str | os.PathLike | None = None,
        num_points: int | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        if isinstance(model, (str, os.PathLike)):
            model = load_pretrained(model, config)
        elif config is not None:
            raise ValueError('config belongs to a checkpoint: a model is already built')
        self.model = model if device is None else model.to(device)
        self.batch_size = batch_size
        self.seed = seed
        record = getattr(model, 'checkpoint_meta', {}).get('mm3dpretrain', {})
        self.gravity_axis = record.get('gravity_axis') or 'none'
        self.embedding_key = record.get('embedding_key')
        self.channels = _channels(model, record.get('point_channels'))
        self.pipeline = _pipeline(getattr(model, 'cfg', {}), num_points, self.channels)
        self.num_points = next(s['num_points'] for s in self.pipeline if 'num_points' in s)
        self._transforms = build_transforms(self.pipeline)

    @property
    def embed_dim(self) -> int | None:
        """Width D of the embeddings as the config says it; None where it does not."""
        return (getattr(self.model, 'cfg', {}).get('model') or {}).get('embed_dim')

    def check_teacher(self, source: str, dim: int, key: str | None) -> None:
        """Refuse texts or images of another space.

        Args:
            source: what is checked, for the message.
            dim: width of its embeddings.
            key: identity of its weights, None where unknown.

        Raises:
            ValueError: if width or key differ from those of the training's teacher.
        """
        if self.embed_dim is not None and dim != self.embed_dim:
            raise ValueError(
                f'{source} has embeddings of width {dim}, the model was trained for '
                f'{self.embed_dim}: take the teacher of the training'
            )
        if None not in (key, self.embedding_key) and key != self.embedding_key:
            raise ValueError(
                f'{source} is of the teacher {key}, the model was trained with '
                f'{self.embedding_key}: their spaces have nothing in common'
            )

    def prepare(self, shape: Shape, up_axis: str | None = None) -> Tensor:
        """The input of the encoder for one shape.

        Args:
            shape: a mesh or cloud file, or a cloud (N, 3), or (N, 6) with red, green and blue in
                [0, 1] or 0 to 255.
            up_axis: 'x', 'y' or 'z', which axis of the shape points upwards; default that of the
                training, and nothing is turned.

        Returns:
            (num_points, C) float32.

        Raises:
            SampleError: for a missing, broken or empty file or cloud, or values that are not
                finite.
            ValueError: for wrong columns, or ``up_axis`` where the training's is not known.
        """
        points, rgb, source = _read(shape, self.seed)
        if up_axis is not None:
            points = self._turn(points, up_axis)
        results = dict(points=points, point_channels=XYZ, gravity_axis=self.gravity_axis)
        if rgb is not None and self.channels == XYZ + RGB:
            results.update(points=np.concatenate([points, rgb], 1), point_channels=self.channels)
        with isolated_rng(self.seed):
            for transform in self._transforms:
                try:
                    results = transform(results)
                except ValueError as error:
                    raise SampleError(f'{source}: {error}') from error
        return torch.from_numpy(np.ascontiguousarray(results['points'], dtype=np.float32))

    def encode(self, shapes: Shape | Sequence[Shape], up_axis: str | None = None) -> np.ndarray:
        """Embeddings of shapes.

        Args:
            shapes: one, or a list; see :meth:`prepare`.
            up_axis: of all of them, see :meth:`prepare`.

        Returns:
            (B, D) float32, unit length; B is 1 for a single shape.

        Raises:
            ValueError: for no shape, or a model without a space of shapes and texts.
            SampleError: see :meth:`prepare`.
        """
        shapes = list(shapes) if isinstance(shapes, (list, tuple)) else [shapes]
        if not shapes:
            raise ValueError('no shape is given')
        parts = []
        for start in range(0, len(shapes), self.batch_size):
            part = shapes[start : start + self.batch_size]
            points = torch.stack([self.prepare(shape, up_axis) for shape in part])
            parts.append(self.embed(dict(inputs=dict(points=points), data_samples=None)))
        return np.concatenate(parts)

    def embed(self, batch: dict) -> np.ndarray:
        """Embeddings (B, D) float32, unit length, of a batch that is already prepared.

        Raises:
            ValueError: for a model without a space of shapes and texts.
        """
        with evaluating(self.model):
            data = self.model.data_preprocessor(batch, False)
            embed = self.model.extract_feat(data['inputs'], data['data_samples']).get('embed')
        if embed is None:
            raise ValueError(
                f'{type(self.model).__name__} gives no embed: it has no space of shapes and texts'
            )
        return embed.float().cpu().numpy()

    def _turn(self, points: np.ndarray, up_axis: str) -> np.ndarray:
        if up_axis not in ('x', 'y', 'z'):
            raise ValueError(f"up_axis must be 'x', 'y' or 'z', got {up_axis!r}")
        if self.gravity_axis not in ('x', 'y', 'z'):
            raise ValueError(
                f'up_axis={up_axis!r} is given, but the gravity axis of the training is '
                f'{self.gravity_axis!r}: leave it out'
            )
        # a rotation that permutes the axes in a cycle, no mirror
        return np.roll(points, 'xyz'.index(self.gravity_axis) - 'xyz'.index(up_axis), axis=1)


def _read(shape: Shape, seed: int) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Coordinates (N, 3), colours (N, 3) in [0, 1] or None, and a name for messages."""
    if isinstance(shape, (str, os.PathLike)):
        source = os.fspath(shape)
        if not os.path.isfile(source):
            raise SampleError(f'{source}: the file does not exist')
        cloud = read_cloud(source, MESH_POINTS, seed)
        points, rgb = cloud['points'], cloud.get('rgb')
        if rgb is not None:
            return points[:, :3], rgb.astype(np.float32) / 255, source
    else:
        source = 'the cloud'
        shape = shape.detach().cpu().numpy() if isinstance(shape, Tensor) else shape
        points = check_cloud(shape, source)
    if points.shape[1] == 3:
        return points, None, source
    colors = points[:, 3:]
    low, high = float(colors.min()), float(colors.max())
    if points.shape[1] != 6 or low < 0 or high > 255:
        raise ValueError(
            f'{source}: {points.shape[1]} columns, those behind x, y, z from {low:.3g} to '
            f'{high:.3g}; give (N, 3), or (N, 6) with colours in [0, 1] or 0 to 255'
        )
    return points[:, :3], colors / 255 if high > 1 else colors, source


def _channels(model: nn.Module, recorded: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the channels that the encoder reads."""
    width = getattr(getattr(model, 'point_encoder', None), 'in_channels', None)
    if recorded is not None and (width is None or len(recorded) == width):
        channels = tuple(recorded)
    else:
        # the checkpoint says nothing, or what the hook writes by default
        channels = {None: XYZ, 3: XYZ, 6: XYZ + RGB}.get(width, ())
    if channels not in (XYZ, XYZ + RGB):
        raise ValueError(
            f'the encoder reads {width} channels {tuple(recorded or ())}, from a file come x, y, z '
            'and r, g, b: prepare the batches yourself and call model.extract_feat'
        )
    return channels


def _pipeline(cfg: Mapping, num_points: int | None, channels: tuple[str, ...]) -> list[dict]:
    """Configs of the steps that make a cloud the encoder's input."""
    steps: list[dict] = []
    for pipeline in _pipelines(cfg.get('train_dataloader') or {}):
        # in the order of the training: a cloud is centred before or after points are drawn of it
        steps = [step for step in pipeline if _kind(step) in STEPS]
        if any(_kind(step) == 'SamplePoints' for step in steps):
            break
    steps = steps + [
        dict(type=kind) for kind in STEPS if kind not in {_kind(step) for step in steps}
    ]
    if channels != XYZ + RGB:
        steps = [step for step in steps if _kind(step) != 'FillColors']
    for step in steps:
        if _kind(step) == 'FillColors':
            step['drop_prob'] = 0.0
        elif _kind(step) == 'SamplePoints':
            step['allow_repeat'] = True
            if num_points is not None:
                step['num_points'] = num_points
                step.pop('pre_fps', None)
            if step.get('num_points') is None:
                raise ValueError(
                    "the model's config names no number of points (SamplePoints): give num_points"
                )
    return steps


def _kind(step: Mapping) -> str:
    return str(step['type']).split('.')[-1]


def _pipelines(cfg) -> Iterator[list]:
    """All lists under the key ``pipeline`` inside a config."""
    if isinstance(cfg, Mapping):
        for key, value in cfg.items():
            if key == 'pipeline' and isinstance(value, (list, tuple)):
                yield copy.deepcopy(list(value))
            else:
                yield from _pipelines(value)
    elif isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from _pipelines(value)
