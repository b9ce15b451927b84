from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.prompts import Prompts, build_prompts, embed_classes
from mm3dpretrain.registry import PROMPTS


class Letters:
    """A text space that counts letters."""

    identity, model = 'letters', 'counting'

    def encode_texts(self, texts):
        counts = [[text.count(c) + 0.5 for c in 'abcdr'] for text in texts]
        return torch.nn.functional.normalize(torch.tensor(counts), dim=1)


def test_the_64_templates_are_the_published_ones(data_root):
    known = json.loads((data_root / 'text_prompts' / 'uni3d_templates.json').read_text())
    assert list(build_prompts('modelnet40_64').templates) == known['modelnet40_64']
    assert build_prompts('point_cloud').templates == ('a point cloud model of {}.',)


def test_fill():
    assert build_prompts('plain').fill('arm chair') == ['arm chair']
    assert build_prompts('a').fill('chair') == ['a chair']
    assert build_prompts('the {} of gold').fill('{x}') == ['the {x} of gold']
    assert build_prompts(['a {}', 'two {}']).fill('bus') == ['a bus', 'two bus']
    config = dict(type='templates', templates=['{}!'], name='loud')
    assert build_prompts(config) == Prompts(('{}!',), 'loud')
    with pytest.raises(ValueError, match='empty'):
        build_prompts('a').fill(' ')


def test_own_prompts_by_name():
    PROMPTS.register_module(name='test_loud', module=_loud)
    try:
        assert build_prompts('test_loud').fill('bus') == ['bus!']
    finally:
        PROMPTS.module_dict.pop('test_loud')


def _loud():
    return Prompts(('{}!',), 'test_loud')


@pytest.mark.parametrize(
    'prompts, message',
    [
        ('modelnet40', 'near ones.*modelnet40_64'),
        ([], 'at least one template'),
        (['a chair'], 'exactly one'),
        (['{} and {}'], 'exactly one'),
    ],
)
def test_bad_prompts(prompts, message):
    with pytest.raises(ValueError, match=message):
        build_prompts(prompts)


def test_class_embeddings_equal_a_naive_loop():
    names, templates = ['bed', 'car', 'drab crab'], ['a {}', 'bad {} card', '{}']
    found = embed_classes(Letters(), names, templates)
    for name, row in zip(names, found.embeddings):
        total = np.zeros(5)
        for template in templates:
            total += Letters().encode_texts([template.format(name)])[0].numpy()
        assert np.allclose(row, total / np.linalg.norm(total), atol=1e-6)
    assert found.names == tuple(names)
    assert found.meta == dict(model='counting', key='letters', prompts='templates', num_templates=3)
    with pytest.raises(ValueError, match='no class names'):
        embed_classes(Letters(), [])
