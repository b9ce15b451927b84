"""Shapes from files and arrays, prepared as the checkpoint says; ranked names; clear errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_space import DIM, ToySpace, write_shapes, write_toy_checkpoint

from mm3dpretrain.apis import Retriever, ShapeEncoder, ZeroShotClassifier, load_pretrained
from mm3dpretrain.datasets import ClassEmbeddings, SampleError, write_class_embeddings
from mm3dpretrain.datasets.prompts import embed_classes

NAMES = ['chair', 'table', 'lamp']


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_toy_checkpoint(tmp_path_factory.mktemp('toy') / 'toy.pth')


@pytest.fixture(scope='module')
def encoder(checkpoint):
    return ShapeEncoder(checkpoint)


def cloud(columns=3, count=200, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (count, columns)).astype(np.float32)


# ------------------------------------------------------------------ preparation


def test_preparation_is_the_training_pipeline_without_its_randomness(encoder):
    assert encoder.num_points == 64 and encoder.gravity_axis == 'y'
    points = encoder.prepare(cloud())
    assert points.shape == (64, 6) and (points[:, 3:] == 0.4).all()
    # center='bbox' of the config, not the default
    xyz = points[:, :3]
    torch.testing.assert_close(xyz.amax(0) + xyz.amin(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(xyz.norm(dim=1).amax(), torch.tensor(1.0))
    assert torch.equal(points, encoder.prepare(cloud()))


def test_colors_in_both_ranges(encoder):
    colored = cloud(6)
    points = encoder.prepare(colored)
    assert not (points[:, 3:] == 0.4).all() and points[:, 3:].max() <= 1
    scaled = colored.copy()
    scaled[:, 3:] *= 255
    torch.testing.assert_close(encoder.prepare(torch.from_numpy(scaled)), points)


def test_up_axis_turns_without_a_mirror(encoder):
    up = cloud()
    up_z = up[:, [2, 0, 1]]  # what is y here is z there
    torch.testing.assert_close(encoder.prepare(up_z, up_axis='z'), encoder.prepare(up))
    assert not torch.allclose(encoder.prepare(up_z), encoder.prepare(up))
    assert torch.equal(encoder.prepare(up, up_axis='y'), encoder.prepare(up))
    turned = encoder._turn(np.eye(3, dtype=np.float32), 'z')
    assert np.linalg.det(turned) == pytest.approx(1)
    with pytest.raises(ValueError, match="'w'"):
        encoder.prepare(up, up_axis='w')


def test_few_points_are_repeated_and_the_number_can_be_set(checkpoint, encoder):
    assert encoder.prepare(cloud(count=10)).shape == (64, 6)
    assert ShapeEncoder(checkpoint, num_points=33).prepare(cloud()).shape == (33, 6)


def test_batches_do_not_change_embeddings(checkpoint, encoder):
    shapes = [cloud(seed=i) for i in range(5)]
    together = ShapeEncoder(checkpoint, batch_size=2).encode(shapes)
    assert together.shape == (5, DIM)
    for row, shape in zip(together, shapes):
        np.testing.assert_allclose(row, encoder.encode(shape)[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_model_keeps_its_mode(checkpoint):
    model = load_pretrained(checkpoint).train()
    ShapeEncoder(model).encode(cloud())
    assert model.training and all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ('shape', 'match'),
    [
        (np.zeros((0, 3)), 'empty cloud'),
        (np.full((5, 3), np.nan), 'NaN'),
        (np.zeros((9, 3)), 'coincide'),
        ('missing.ply', 'does not exist'),
    ],
)
def test_broken_shapes(encoder, shape, match):
    with pytest.raises(SampleError, match=match):
        encoder.encode(shape)


def test_wrong_columns_and_suffix(encoder, tmp_path):
    with pytest.raises(ValueError, match='4 columns'):
        encoder.encode(cloud(4))
    with pytest.raises(ValueError, match='colours'):
        encoder.encode(cloud(6) - 0.5)  # normals, perhaps
    with pytest.raises(ValueError, match='no shape'):
        encoder.encode([])
    (tmp_path / 'shape.docx').write_text('no')
    with pytest.raises(SampleError, match=r"unknown suffix '\.docx'"):
        encoder.encode(tmp_path / 'shape.docx')


def test_models_that_cannot_be_prepared_for(tmp_path):
    normals = ['x', 'y', 'z', 'nx', 'ny', 'nz']
    with pytest.raises(ValueError, match='nx'):
        ShapeEncoder(write_toy_checkpoint(tmp_path / 'n.pth', point_channels=normals))
    unknown = ShapeEncoder(write_toy_checkpoint(tmp_path / 'u.pth', gravity_axis='none'))
    with pytest.raises(ValueError, match='leave it out'):
        unknown.encode(cloud(), up_axis='z')
    model = load_pretrained(tmp_path / 'u.pth')
    model.cfg.train_dataloader = None
    with pytest.raises(ValueError, match='give num_points'):
        ShapeEncoder(model)
    assert ShapeEncoder(model, num_points=20).num_points == 20


def test_steps_keep_the_order_of_the_training(checkpoint):
    model = load_pretrained(checkpoint)
    pipeline = model.cfg.train_dataloader.dataset.pipeline
    pipeline[1], pipeline[2] = pipeline[2], pipeline[1]
    pipeline[1].type = 'mm3dpretrain.NormalizePoints'
    steps = ShapeEncoder(model).pipeline
    assert [step['type'].split('.')[-1] for step in steps] == [
        'NormalizePoints',
        'SamplePoints',
        'FillColors',
    ]
    # the config of the model stays as it was
    assert pipeline[4].drop_prob == 0.5 and 'allow_repeat' not in pipeline[2]


# ------------------------------------------------------------------ classification


def bar(axis: int, seed: int) -> np.ndarray:
    """A cloud that is long along one axis."""
    size = np.where(np.arange(3) == axis, 1.0, 0.2)
    return np.random.default_rng(seed).uniform(-1, 1, (200, 3)) * size


def test_learned_words_are_found_and_the_up_axis_matters(tmp_path):
    """Training, checkpoint, classifier and index: poles stand on +y, beams lie about it."""
    path = write_toy_checkpoint(tmp_path / 'toy.pth')
    encoder, space = ShapeEncoder(path), ToySpace()
    words = ['pole', 'beam']
    texts = space.encode_texts(words)
    clouds = [bar(1, i) for i in range(16)] + [bar(2 * (i % 2), i) for i in range(16)]
    inputs = dict(points=torch.stack([encoder.prepare(cloud) for cloud in clouds]))
    labels = torch.arange(2).repeat_interleave(16)
    model = encoder.model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(80):
        embed = model.extract_feat(inputs)['embed']
        loss = torch.nn.functional.cross_entropy(10 * embed @ texts.T, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    content = torch.load(path, weights_only=True)
    torch.save(dict(content, state_dict=model.state_dict()), path)

    classify = ZeroShotClassifier(path, space, prompts='plain')
    for seed in range(100, 106):
        assert classify(bar(1, seed), words)[0][0] == 'pole'
        assert classify(bar(0, seed), words)[0][0] == 'beam'
        # the same pole in a file with +z up
        assert classify(bar(2, seed), words)[0][0] == 'beam'
        assert classify(bar(2, seed), words, up_axis='z')[0][0] == 'pole'
    for name, axis in (('a', 0), ('b', 1), ('c', 2)):
        np.savetxt(tmp_path / f'{name}.xyz', bar(axis, 7))
    retriever = Retriever(path, space)
    index = retriever.index(tmp_path)
    assert retriever.query(index, text='pole')[0][0] == 'b.xyz'
    assert {name for name, _ in retriever.query(index, text='beam', topk=2)} == {'a.xyz', 'c.xyz'}


def test_ranks_are_those_of_the_cosine(checkpoint, encoder, tmp_path):
    space = ToySpace()
    classes = embed_classes(space, NAMES, 'modelnet40_64')
    write_class_embeddings(tmp_path / 'classes.npz', classes)
    classify = ZeroShotClassifier.from_checkpoint(
        checkpoint, class_embeddings=tmp_path / 'classes.npz'
    )
    expected = classes.embeddings @ encoder.encode(cloud())[0]
    found = classify(cloud())
    assert [name for name, _ in found] == [NAMES[i] for i in np.argsort(-expected)]
    assert dict(found) == pytest.approx(dict(zip(NAMES, expected.tolist())), abs=1e-6)
    # the same from a text space, which takes any names
    by_text = ZeroShotClassifier(encoder, space)
    for (a, x), (b, y) in zip(by_text(cloud(), NAMES), found):
        assert a == b and x == pytest.approx(y, abs=1e-6)
    assert len(by_text(cloud(), ['a red chair', 'hat'], topk=1)) == 1
    assert classify(cloud(), ['lamp', 'chair'])[0][0] in ('lamp', 'chair')


def test_files_and_lists(encoder, tmp_path):
    paths = write_shapes(tmp_path, 3)
    classify = ZeroShotClassifier(encoder, dict(type='ToySpace'), prompts='plain')
    single = [classify(path, NAMES) for path in paths]
    assert [[name for name, _ in row] for row in classify(paths, NAMES)] == [
        [name for name, _ in row] for row in single
    ]


def test_equal_names_keep_their_order(encoder):
    same = np.tile(np.eye(DIM)[:1], (3, 1))
    classify = ZeroShotClassifier(encoder, ClassEmbeddings(('b', 'c', 'a'), same))
    assert [name for name, _ in classify(cloud())] == ['b', 'c', 'a']


def test_other_spaces_are_refused(tmp_path):
    checkpoint = write_toy_checkpoint(tmp_path / 'k.pth', embedding_key='ours')
    with pytest.raises(ValueError, match='width 9'):
        ZeroShotClassifier(checkpoint, ToySpace('ours', dim=9))
    with pytest.raises(ValueError, match=r'teacher theirs.*trained with ours'):
        ZeroShotClassifier(checkpoint, ToySpace('theirs'))
    classes = embed_classes(ToySpace('theirs'), NAMES, 'plain')
    with pytest.raises(ValueError, match='teacher theirs'):
        ZeroShotClassifier(checkpoint, classes)
    assert ZeroShotClassifier(checkpoint, ToySpace('ours'))(cloud(), NAMES)


def test_bad_names_and_prompts(encoder):
    with pytest.raises(ValueError, match='at least one template'):
        ZeroShotClassifier(encoder, ToySpace(), prompts=[])
    with pytest.raises(ValueError, match='text space'):
        ZeroShotClassifier(encoder, torch.nn.Linear(2, 2))
    classify = ZeroShotClassifier(encoder, ToySpace())
    with pytest.raises(ValueError, match='names is empty'):
        classify(cloud(), [])
    with pytest.raises(ValueError, match='which ones'):
        classify(cloud())
    with pytest.raises(ValueError, match='topk'):
        classify(cloud(), NAMES, topk=0)
