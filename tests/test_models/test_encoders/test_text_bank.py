from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.models.encoders import TextBank

NAMES = ['chair', 'arm chair', 'bus', 'a cappella group']


@pytest.fixture
def folder(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float16)
    np.save(tmp_path / 'merged.npy', vectors)
    (tmp_path / 'names.json').write_text(json.dumps(dict(merged=NAMES)))
    classes = dict(seats=['chair', 'arm chair'], bus=['bus'], barrier=None)
    (tmp_path / 'class_map.json').write_text(json.dumps(dict(set=classes)))
    return tmp_path


def unit(x):
    return x / np.linalg.norm(x)


def test_names_articles_and_classes(folder):
    vectors = np.load(folder / 'merged.npy').astype(np.float64)
    bank = TextBank(folder, class_set='set')
    found = bank.encode_texts(['chair', 'a chair', 'an arm chair', 'a cappella group', 'seats'])
    assert found.dtype == torch.float32 and bank.embed_dim == 6
    mean = unit(unit(vectors[0]) + unit(vectors[1]))  # not the mean of the raw rows
    wanted = [unit(vectors[0]), unit(vectors[0]), unit(vectors[1]), unit(vectors[3]), mean]
    assert np.allclose(found, np.stack(wanted), atol=1e-6)
    assert bank.encode_texts([]).shape == (0, 6)


def test_unknown_names_are_listed_with_near_ones(folder):
    bank = TextBank(folder, class_set='set')
    assert bank.missing(['bus', 'barrier', 'buss']) == ['barrier', 'buss']
    with pytest.raises(ValueError, match='without a matching name.*near: .*bus'):
        bank.encode_texts(['bus', 'barrier', 'buss'])
    with pytest.raises(ValueError, match="no set 'other', it has .*set"):
        TextBank(folder, class_set='other').encode_texts(['bus'])


def test_identity_is_that_of_the_space(folder):
    bank = TextBank(folder)
    assert bank.identity == TextBank(folder, class_set='set').identity
    assert bank.identity != TextBank(folder, center=True).identity
    np.save(folder / 'merged.npy', 2 * np.load(folder / 'merged.npy'))
    assert bank.identity != TextBank(folder).identity


def test_damaged_files(folder):
    with pytest.raises(FileNotFoundError, match='names.json'):
        TextBank(folder / 'none').encode_texts(['bus'])
    (folder / 'names.json').write_text(json.dumps(dict(merged=NAMES[:2])))
    with pytest.raises(SampleError, match='do not belong'):
        TextBank(folder).encode_texts(['bus'])
    (folder / 'names.json').write_text('{')
    with pytest.raises(SampleError, match='damaged'):
        TextBank(folder).encode_texts(['bus'])
    (folder / 'names.json').write_text(json.dumps(dict(merged=NAMES)))
    (folder / 'class_map.json').write_text(json.dumps(dict(set=dict(a=['tram']))))
    with pytest.raises(SampleError, match='tram'):
        TextBank(folder, class_set='set').encode_texts(['a'])


def test_real_bank_knows_what_belongs_together(data_root):
    """Facts about the real ViT-B-32: which names are neighbours."""
    classes = json.loads((data_root / 'shapes69' / 'meta.json').read_text())['text']
    raw = TextBank(data_root / 'clip_text_vitb32', class_set='shapes69')
    bank = TextBank(data_root / 'clip_text_vitb32', class_set='shapes69', center=True)
    assert not bank.missing(classes)
    assert bank.encode_texts(classes).shape == (69, 512)
    names = ['guitar', 'violin', 'hammer', 'airplane']
    narrow, wide = (b.encode_texts(names) @ b.encode_texts(names).T for b in (raw, bank))
    assert narrow[0].argsort(descending=True).tolist()[:2] == [0, 1]
    assert wide[0].argsort(descending=True).tolist()[:2] == [0, 1]
    assert narrow.min() > 0.7 and wide.min() < 0.2


def test_real_objects_have_names_of_the_bank(data_root):
    from mm3dpretrain.datasets import Cc0Objects

    dataset = Cc0Objects(str(data_root / 'cc0_objects'), split='all', lazy_init=True)
    names = [record['clip_name'] for record in dataset.load_data_list()]
    named = [name for name in names if name is not None]
    assert (len(names), len(named), len(set(named))) == (1936, 951, 150)
    assert not TextBank(data_root / 'clip_text_vitb32').missing(named)
