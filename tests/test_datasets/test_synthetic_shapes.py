"""The embedded shapes: geometry, labels, words."""

from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.datasets.shapenet55 import SHAPENET_NAMES
from mm3dpretrain.datasets.synthetic import (
    CATEGORIES,
    Deformation,
    SyntheticShapes,
    primitives,
)
from mm3dpretrain.datasets.synthetic.builder import Builder
from mm3dpretrain.datasets.synthetic.captions import article, join

NAMES = SyntheticShapes().categories


def build(name: str, index: int) -> Builder:
    generator = SyntheticShapes()
    builder = Builder(generator.category(name), generator.rng(name, index, 0))
    builder.category.build(builder)
    return builder


# ------------------------------------------------------------------ shapes


def test_categories():
    assert len(CATEGORIES) >= 16 and len(set(NAMES)) == len(CATEGORIES)
    synsets = [category.synset for category in CATEGORIES]
    assert len(set(synsets)) == len(synsets)
    for synset in synsets:
        assert len(synset) == 8 and synset.isdigit() and synset[0] == '9'
    assert not set(synsets) & set(SHAPENET_NAMES)
    generator = SyntheticShapes()
    offsets = [generator.part_offset(name) for name in NAMES]
    ends = [o + len(generator.category(n).parts) for o, n in zip(offsets, NAMES)]
    assert offsets[0] == 0 and offsets[1:] == ends[:-1] and ends[-1] == len(generator.part_names)


@pytest.mark.parametrize('name', NAMES)
def test_shapes_are_well_formed(name):
    generator = SyntheticShapes(seed=1)
    for index in range(3):
        shape = generator.generate(name, index)
        assert shape.vertices.dtype == np.float32 and np.isfinite(shape.vertices).all()
        assert np.linalg.norm(shape.vertices, axis=1).max() == pytest.approx(1, abs=1e-5)
        assert 40 < len(shape.faces) < 12000
        assert shape.faces.min() >= 0 and shape.faces.max() < len(shape.vertices)
        assert shape.face_color.shape == shape.faces.shape and shape.face_color.dtype == np.uint8
        assert shape.face_part.shape == (len(shape.faces),)
        labels = np.unique(shape.face_part)
        assert labels.min() >= 0 and labels.max() < len(shape.part_names)
        assert len(shape.captions) >= 3 and len(set(shape.captions)) == len(shape.captions)
        cloud = generator.sample(shape, index, 2048)
        # the centre of the surface is the origin
        assert np.abs(cloud.points.mean(0)).max() < 0.03


@pytest.mark.parametrize('name', NAMES)
def test_every_piece_has_its_outside_outside(name):
    for index in range(4):
        for mesh, part, _ in build(name, index).pieces:
            where = f'{name} {index} {CATEGORIES[NAMES.index(name)].parts[part]}'
            assert primitives.signed_volume(mesh) > 0, where


def test_shapes_depend_on_seed_category_and_index_alone():
    first = SyntheticShapes(seed=3)
    alone = first.generate('lamp', 17)
    other = SyntheticShapes(seed=3)
    for index in (4, 18, 17):
        other.generate('chair', index)
    again = other.generate('lamp', 17)
    for field in ('vertices', 'faces', 'face_color', 'face_part'):
        np.testing.assert_array_equal(getattr(alone, field), getattr(again, field))
    assert alone.captions == again.captions and alone.sample_id == again.sample_id
    for different in (first.generate('lamp', 18), SyntheticShapes(seed=4).generate('lamp', 17)):
        assert different.sample_id != alone.sample_id
        assert not np.array_equal(different.vertices, alone.vertices)
    np.testing.assert_array_equal(
        first.sample(alone, 17, 64).points, other.sample(again, 17, 64).points
    )


def test_a_class_varies_in_structure():
    generator = SyntheticShapes()
    for name in ('chair', 'airplane', 'bed', 'lamp', 'bookshelf'):
        shapes = [generator.generate(name, index) for index in range(12)]
        assert len({len(s.faces) for s in shapes}) > 8
        assert len({tuple(np.unique(s.face_part)) for s in shapes}) >= 2
        assert len({tuple(s.face_color[0]) for s in shapes}) > 6


def test_cloud_attributes_belong_to_its_points():
    generator = SyntheticShapes()
    shape = generator.generate('sofa', 0)
    clean = generator.sample(shape, 0, 500)
    noisy = generator.sample(shape, 0, 500, jitter=0.01)
    offset = generator.part_offset('sofa')
    assert set(clean.part - offset) <= set(shape.face_part.tolist())
    np.testing.assert_allclose(np.linalg.norm(clean.normals, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(clean.part, noisy.part)
    assert (clean.points - noisy.points).std() == pytest.approx(0.01, rel=0.1)
    # a point's colour is one that its part has in the mesh
    for part in np.unique(clean.part):
        of_mesh = {tuple(c) for c in shape.face_color[shape.face_part == part - offset]}
        assert {tuple(c) for c in clean.rgb[clean.part == part]} <= of_mesh


def test_rotation_kinds():
    still = SyntheticShapes(rotation='none').generate('car', 2).vertices
    yaw = SyntheticShapes(rotation='yaw').generate('car', 2).vertices
    free = SyntheticShapes(rotation='so3').generate('car', 2).vertices
    np.testing.assert_allclose(still[:, 1], yaw[:, 1], atol=1e-5)
    assert np.abs(still[:, 0] - yaw[:, 0]).max() > 0.1
    assert np.abs(still[:, 1] - free[:, 1]).max() > 0.1
    np.testing.assert_allclose(
        np.linalg.norm(still, axis=1), np.linalg.norm(free, axis=1), atol=1e-5
    )


def test_deformation_can_be_switched_off():
    rigid = SyntheticShapes(rotation='none', deformation=Deformation(1, 0, 0, 0, 0))
    pieces = build('bottle', 3).pieces
    vertices = primitives.merge([mesh for mesh, _, _ in pieces]).vertices
    shape = rigid.generate('bottle', 3).vertices
    np.testing.assert_allclose(
        np.ptp(shape, axis=0) / np.ptp(shape[:, 1]),
        np.ptp(vertices, axis=0) / np.ptp(vertices[:, 1]),
        rtol=1e-4,
    )
    bent = SyntheticShapes(rotation='none').generate('bottle', 3).vertices
    assert bent.shape == shape.shape and np.abs(bent - shape).max() > 0.01


def test_refuses_bad_arguments():
    with pytest.raises(ValueError, match="unknown category 'dragon'; there are chair"):
        SyntheticShapes().generate('dragon', 0)
    with pytest.raises(ValueError, match='index must be >= 0, got -1'):
        SyntheticShapes().generate('chair', -1)
    with pytest.raises(ValueError, match='seed'):
        SyntheticShapes(seed=-2)
    with pytest.raises(ValueError, match="'pitch'"):
        SyntheticShapes(rotation='pitch')
    with pytest.raises(ValueError, match='jitter'):
        SyntheticShapes().sample(SyntheticShapes().generate('mug', 0), 0, 10, jitter=-1)
    with pytest.raises(ValueError, match="chair has no part 'wheel'"):
        build('chair', 0).add('wheel', primitives.box(1, 1, 1), build('chair', 0).main)


# ------------------------------------------------------------------ words


def test_grammar():
    assert article('orange bus') == 'an orange bus' and article('red bus') == 'a red bus'
    assert join(['x']) == 'x' and join(['x', 'y', 'z']) == 'x, y and z' and join([]) == ''


@pytest.mark.parametrize(
    ('name', 'words', 'part'),
    [
        ('chair', 'armrests', 'arm'),
        ('mug', ' a handle', 'handle'),
        ('bench', 'a backrest', 'back'),
        ('headphones', 'a microphone', 'microphone'),
        ('rocket', 'booster', 'booster'),
        ('bathtub', 'a tap', 'tap'),
        ('bookshelf', 'books', 'book'),
        ('desk', 'a back panel', 'panel'),
        ('bottle', 'label', 'label'),
        ('laptop', 'a touchpad', 'touchpad'),
    ],
)
def test_captions_name_what_is_there(name, words, part):
    generator = SyntheticShapes()
    seen = set()
    for index in range(24):
        shape = generator.generate(name, index)
        there = bool((shape.face_part == shape.part_names.index(part)).any())
        main = shape.captions[0].replace('bookshelf', '')
        assert (words in main) == there, (index, main)
        if not there:
            assert not any(words in c.replace('bookshelf', '') for c in shape.captions)
        seen.add(there)
    assert seen == {True, False}


def test_captions_count_right():
    words = {'three': 3, 'four': 4, 'five': 5}
    for index in range(20):
        builder = build('rocket', index)
        fins = sum(builder.category.parts[part] == 'fin' for _, part, _ in builder.pieces)
        said = [f for f in builder.features if 'fin' in f]
        assert len(said) == 1 and words[said[0].split()[0]] == fins


def test_captions_name_colour_and_class():
    for name in NAMES:
        shape = SyntheticShapes().generate(name, 5)
        builder = build(name, 5)
        assert name in shape.captions[0] and builder.main.color in shape.captions[0]
        # the colour that is named covers a part of the shape
        assert (shape.face_color == builder.main.rgb).all(1).any()
