"""Which of these words is this shape?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.config import Config
from torch import nn

from mm3dpretrain.datasets.class_embeddings import ClassEmbeddings, read_class_embeddings
from mm3dpretrain.datasets.prompts import Prompts, build_prompts, embed_classes
from mm3dpretrain.registry import MODELS
from mm3dpretrain.utils import prepare_runtime

from .shape_encoder import Shape, ShapeEncoder


def build_text_space(space: str | os.PathLike | Mapping | nn.Module):
    """A text space from its config.

    Args:
        space: a config with ``type``, such as ``dict(type='CLIPTeacher', model='ViT-B-32',
            weights=...)`` or ``dict(type='TextBank', data_root=...)``; a config file with a
            ``text_space`` (such as those of configs/_base_/text_spaces); or a text space.

    Returns:
        An object with ``encode_texts``, ``embed_dim`` and ``identity``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file has no ``text_space``, or the object does not encode texts.
    """
    if isinstance(space, (str, os.PathLike)):
        config = prepare_runtime(space)
        if config.get('text_space') is None:
            raise ValueError(f"{space} has no `text_space`: dict(type='CLIPTeacher', ...)")
        space = config.text_space
    if isinstance(space, Mapping):
        space = space.to_dict() if isinstance(space, Config) else dict(space)
        space = MODELS.build(space)
    if not hasattr(space, 'encode_texts'):
        raise ValueError(f'{type(space).__name__} is no text space: it has no encode_texts')
    return space


class ZeroShotClassifier:
    """Ranks class names for a shape, by the similarity of its embedding with those of the names.

    Examples::

        classify = ZeroShotClassifier.from_checkpoint('epoch_20.pth', 'classes.npz')
        classify('my_chair.obj')           # [('chair', 0.31), ('sofa', 0.24), ...]

        classify = ZeroShotClassifier('epoch_20.pth', dict(type='CLIPTeacher', model=..., ...))
        classify(points, names=['a red chair', 'a wooden chair'], topk=2)

    Args:
        model: checkpoint, model or :class:`ShapeEncoder`.
        classes: what the names mean: class embeddings or their ``.npz`` file; or a text space, its
            config or config file (see :func:`build_text_space`), which takes any name.
        prompts: templates that a text space fills with each name: a name of ``PROMPTS``, or a
            list; 'plain' takes names as they are.
        **kwargs: see :class:`ShapeEncoder`.

    Raises:
        ValueError: if the classes are of another space than the model (width, or key of the
            teacher where both are known), or for an empty list of prompts.
    """

    def __init__(
        self,
        model: str | os.PathLike | nn.Module | ShapeEncoder,
        classes: str | os.PathLike | ClassEmbeddings | Mapping | nn.Module,
        prompts: str | Sequence[str] | Prompts = 'modelnet40_64',
        **kwargs,
    ) -> None:
        prompts = build_prompts(prompts)
        if isinstance(classes, (str, os.PathLike)) and os.fspath(classes).endswith('.npz'):
            classes = read_class_embeddings(classes)
        if not isinstance(classes, ClassEmbeddings):
            classes = build_text_space(classes)
        self.encoder = as_encoder(model, **kwargs)
        if isinstance(classes, ClassEmbeddings):
            self.encoder.check_teacher('the file of classes', classes.dim, classes.meta.get('key'))
        else:
            check_space(self.encoder, classes)
        self.classes = classes
        self.prompts = prompts
        self._embedded: dict[tuple[str, ...], ClassEmbeddings] = {}

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: str | os.PathLike,
        class_embeddings: str | os.PathLike | ClassEmbeddings | Mapping | nn.Module,
        **kwargs,
    ) -> ZeroShotClassifier:
        """The same as the constructor, for those who look for it by this name."""
        return cls(checkpoint, class_embeddings, **kwargs)

    def __call__(
        self,
        shape: Shape | Sequence[Shape],
        names: Sequence[str] | None = None,
        topk: int = 5,
        up_axis: str | None = None,
    ) -> list[tuple[str, float]] | list[list[tuple[str, float]]]:
        """The names that fit best.

        Args:
            shape: a file, a cloud (N, 3) or (N, 6), or a list of them; see
                :meth:`ShapeEncoder.prepare`.
            names: to choose from; default all of the class embeddings. A text space needs them.
            topk: how many to return, at most.
            up_axis: see :meth:`ShapeEncoder.prepare`.

        Returns:
            (name, cosine) of the best names, best first; for a list of shapes a list of that.
            Equally similar names keep their order.

        Raises:
            ValueError: for no names or names that are not known.
            SampleError: for a shape that cannot be read.
        """
        if topk < 1:
            raise ValueError(f'topk must be positive, got {topk}')
        texts = self.embed(names)
        scores = self.encoder.encode(shape, up_axis) @ texts.embeddings.T
        ranked = [
            [(texts.names[c], float(row[c])) for c in np.argsort(-row, kind='stable')[:topk]]
            for row in scores
        ]
        return ranked if isinstance(shape, (list, tuple)) else ranked[0]

    def embed(self, names: Sequence[str] | None = None) -> ClassEmbeddings:
        """Class embeddings of names, kept for the next call.

        Raises:
            ValueError: see :meth:`__call__`.
        """
        if names is not None and not len(names):
            raise ValueError('names is empty: give at least one class')
        if isinstance(self.classes, ClassEmbeddings):
            return self.classes if names is None else self.classes.select(names)
        if names is None:
            raise ValueError('a text space knows any name: say which ones to choose from (names)')
        key = tuple(names)
        if key not in self._embedded:
            self._embedded[key] = embed_classes(self.classes, key, self.prompts)
        return self._embedded[key]


def as_encoder(model: str | os.PathLike | nn.Module | ShapeEncoder, **kwargs) -> ShapeEncoder:
    """A :class:`ShapeEncoder` of a checkpoint or model; one that is given stays as it is."""
    if isinstance(model, ShapeEncoder):
        if kwargs:
            raise ValueError(f'{sorted(kwargs)} belong to the encoder, which is already there')
        return model
    return ShapeEncoder(model, **kwargs)


def check_space(encoder: ShapeEncoder, space) -> None:
    """Refuse a text space that is not that of the model.

    Raises:
        ValueError: see :meth:`ShapeEncoder.check_teacher`.
    """
    # the identity is a hash of all weights: not for nothing
    key = None if encoder.embedding_key is None else space.identity
    encoder.check_teacher('the text space', space.embed_dim, key)
