"""Templates that make texts of class names, and class embeddings from them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..registry import PROMPTS
from .class_embeddings import ClassEmbeddings, average_prompts

#: of ULIP, OpenShape and Uni3D for ModelNet40 and ScanObjectNN, after CLIP's for ImageNet
MODELNET40_64 = (
    'a point cloud model of {}.',
    'There is a {} in the scene.',
    'There is the {} in the scene.',
    'a photo of a {} in the scene.',
    'a photo of the {} in the scene.',
    'a photo of one {} in the scene.',
    'itap of a {}.',
    'itap of my {}.',
    'itap of the {}.',
    'a photo of a {}.',
    'a photo of my {}.',
    'a photo of the {}.',
    'a photo of one {}.',
    'a photo of many {}.',
    'a good photo of a {}.',
    'a good photo of the {}.',
    'a bad photo of a {}.',
    'a bad photo of the {}.',
    'a photo of a nice {}.',
    'a photo of the nice {}.',
    'a photo of a cool {}.',
    'a photo of the cool {}.',
    'a photo of a weird {}.',
    'a photo of the weird {}.',
    'a photo of a small {}.',
    'a photo of the small {}.',
    'a photo of a large {}.',
    'a photo of the large {}.',
    'a photo of a clean {}.',
    'a photo of the clean {}.',
    'a photo of a dirty {}.',
    'a photo of the dirty {}.',
    'a bright photo of a {}.',
    'a bright photo of the {}.',
    'a dark photo of a {}.',
    'a dark photo of the {}.',
    'a photo of a hard to see {}.',
    'a photo of the hard to see {}.',
    'a low resolution photo of a {}.',
    'a low resolution photo of the {}.',
    'a cropped photo of a {}.',
    'a cropped photo of the {}.',
    'a close-up photo of a {}.',
    'a close-up photo of the {}.',
    'a jpeg corrupted photo of a {}.',
    'a jpeg corrupted photo of the {}.',
    'a blurry photo of a {}.',
    'a blurry photo of the {}.',
    'a pixelated photo of a {}.',
    'a pixelated photo of the {}.',
    'a black and white photo of the {}.',
    'a black and white photo of a {}',
    'a plastic {}.',
    'the plastic {}.',
    'a toy {}.',
    'the toy {}.',
    'a plushie {}.',
    'the plushie {}.',
    'a cartoon {}.',
    'the cartoon {}.',
    'an embroidered {}.',
    'the embroidered {}.',
    'a painting of the {}.',
    'a painting of a {}.',
)


@PROMPTS.register_module(name='templates')
@dataclass(frozen=True)
class Prompts:
    """Templates of a text about a thing.

    Attributes:
        templates: texts with one ``{}`` each, where the name of the thing goes.
        name: for result files.

    Raises:
        ValueError: for no template, or one without a single ``{}``.
    """

    templates: tuple[str, ...]
    name: str = 'templates'

    def __post_init__(self) -> None:
        if isinstance(self.templates, str) or not self.templates:
            raise ValueError(
                f'prompts need a list with at least one template, got {self.templates!r}; plain '
                "names are prompts='plain'"
            )
        wrong = [t for t in self.templates if not isinstance(t, str) or t.count('{}') != 1]
        if wrong:
            raise ValueError(f'a template has exactly one "{{}}", these have not: {wrong[:5]}')
        object.__setattr__(self, 'templates', tuple(self.templates))

    def fill(self, name: str) -> list[str]:
        """The texts of all templates about ``name``.

        Raises:
            ValueError: for an empty name.
        """
        if not name.strip():
            raise ValueError('a class name is empty')
        return [template.replace('{}', name) for template in self.templates]


@PROMPTS.register_module(name='plain')
def plain_prompts() -> Prompts:
    """The name alone."""
    return Prompts(('{}',), 'plain')


@PROMPTS.register_module(name='a')
def article_prompts() -> Prompts:
    """'a {}', as the class embeddings of detection sets are made."""
    return Prompts(('a {}',), 'a')


@PROMPTS.register_module(name='point_cloud')
def point_cloud_prompts() -> Prompts:
    """'a point cloud model of {}.', the first of the 64."""
    return Prompts(MODELNET40_64[:1], 'point_cloud')


@PROMPTS.register_module(name='modelnet40_64')
def modelnet40_prompts() -> Prompts:
    """The 64 templates of ULIP, OpenShape and Uni3D."""
    return Prompts(MODELNET40_64, 'modelnet40_64')


def build_prompts(prompts: str | Mapping | Sequence[str] | Prompts) -> Prompts:
    """Prompts by name, config, or list of templates.

    Args:
        prompts: 'plain', 'a', 'point_cloud', 'modelnet40_64' or another name of the registry; a
            config with ``type``; or templates.

    Raises:
        ValueError: for an unknown name (with near ones), or an empty list.
    """
    if isinstance(prompts, Prompts):
        return prompts
    if isinstance(prompts, str):
        if '{}' in prompts:
            return Prompts((prompts,))
        PROMPTS.import_from_location()
        if PROMPTS.get(prompts) is None:
            known = sorted(set(PROMPTS.module_dict) - {'templates'})
            close = difflib.get_close_matches(prompts, known, 3, 0.3)
            raise ValueError(f'no prompts {prompts!r}; near ones: {close}, all: {known}')
        return PROMPTS.build(dict(type=prompts))
    if isinstance(prompts, Mapping):
        return PROMPTS.build(dict(prompts))
    return Prompts(tuple(prompts))


def embed_classes(
    space, names: Sequence[str], prompts: str | Mapping | Sequence[str] | Prompts = 'plain'
) -> ClassEmbeddings:
    """One embedding a class: the mean of its filled templates, each of unit length.

    Args:
        space: a text space with ``encode_texts``, such as ``CLIPTeacher`` or ``TextBank``.
        names: of the classes, all different.
        prompts: see :func:`build_prompts`.

    Returns:
        In the order of the names; the meta information has ``model``, ``key`` (the identity of
        the space), ``prompts`` and ``num_templates``.

    Raises:
        ValueError: for no class, names that repeat, empty prompts, or names the space lacks.
    """
    prompts = build_prompts(prompts)
    if not names:
        raise ValueError('no class names')
    count = len(prompts.templates)
    texts = [text for name in names for text in prompts.fill(name)]
    features = space.encode_texts(texts).float().cpu().numpy()
    rows = [average_prompts(part) for part in features.reshape(len(names), count, -1)]
    meta = dict(
        model=describe_model(space),
        key=space.identity,
        prompts=prompts.name,
        num_templates=count,
    )
    return ClassEmbeddings(tuple(names), np.stack(rows), meta)


def describe_model(space) -> str:
    """Short name of a text space for result files."""
    model = getattr(space, 'model', None)
    return model if isinstance(model, str) else type(space).__name__
