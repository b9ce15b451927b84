from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from embedding_sets import CLASSES, CLIP, write_shapes
from mmengine.dataset import pseudo_collate

from mm3dpretrain.apis.embeddings import read_all_views
from mm3dpretrain.apis.features import build_dataset
from mm3dpretrain.datasets.class_embeddings import read_class_embeddings
from mm3dpretrain.datasets.embedding_cache import EmbeddingCache, EmbeddingWriter
from mm3dpretrain.registry import MODELS
from tools import precompute_embeddings

pytest.importorskip('open_clip')

CONFIG = """
default_scope = 'mm3dpretrain'
teacher = dict(type='CLIPTeacher', model={clip!r}, weights={weights!r})
train_dataloader = dict(dataset=dict(
    type='ShapeNet55', data_root={root!r}, images='optional', expected_count=None,
    pipeline=[dict(type='LoadView'), dict(type='PackTriplets')],
))
"""


@pytest.fixture
def setting(tmp_path):
    """Folder of the set and its sample ids, config, arguments of the tool."""
    names = write_shapes(tmp_path / 'set')
    weights = tmp_path / 'clip.pt'
    torch.manual_seed(1)
    torch.save(MODELS.build(dict(type='CLIPTeacher', model=CLIP)).network.state_dict(), weights)
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(clip=CLIP, weights=str(weights), root=str(tmp_path / 'set')))
    out = str(tmp_path / 'cache')
    args = [str(path), '--out', out, '--splits', 'train', '--device', 'cpu', '--shard-size', '4']
    return tmp_path, names, args


def test_embeddings_are_those_of_the_teacher(setting, capsys):
    folder, names, args = setting
    assert precompute_embeddings.main(args) == 0
    told = capsys.readouterr().out
    assert '12 samples computed' in told and '1 have no view, 1 no text' in told
    cache = EmbeddingCache(folder / 'cache')
    cfg = precompute_embeddings.prepare_runtime(args[0])
    teacher = MODELS.build(cfg.teacher)
    dataset = build_dataset(cfg.train_dataloader.dataset)
    for index in (0, 1, 2, 7):
        record = dataset.get_data_info(index)
        image, text = cache.read(record)
        assert len(image) == len(record['img_paths']) == (0 if index == 2 else 3)
        assert len(text) == len(record['caption']) == (0 if index == 1 else 2)
        if index != 2:
            views = read_all_views(record, (255, 255, 255))
            wanted = teacher.encode_image(teacher.preprocess(views))
            assert np.allclose(image, wanted, atol=1e-3)
        if index != 1:
            assert np.allclose(text, teacher.encode_texts(record['caption']), atol=1e-3)
    assert cache.text_identity == teacher.identity
    # again: nothing to do
    assert precompute_embeddings.main(args) == 0
    assert '0 samples computed, 12 were there' in capsys.readouterr().out


def test_goes_on_after_a_kill(setting, capsys, monkeypatch):
    folder, _, args = setting
    add, count = EmbeddingWriter.add, []

    def killed(self, *sample):
        count.append(1)
        if len(count) == 7:
            raise KeyboardInterrupt
        add(self, *sample)

    monkeypatch.setattr(EmbeddingWriter, 'add', killed)
    assert precompute_embeddings.main([*args, '--batch-size', '1']) == 130
    monkeypatch.setattr(EmbeddingWriter, 'add', add)
    assert precompute_embeddings.main(args) == 0
    assert '6 samples computed, 6 were there' in capsys.readouterr().out
    other = folder / 'other'
    assert precompute_embeddings.main([*args, '--out', str(other)]) == 0
    first, second = EmbeddingCache(folder / 'cache'), EmbeddingCache(other)
    dataset = build_dataset(precompute_embeddings.prepare_runtime(args[0]).train_dataloader.dataset)
    for index in range(12):
        record = dataset.get_data_info(index)
        for a, b in zip(first.read(record), second.read(record)):
            assert np.allclose(a, b, atol=1e-3)


def test_refuses_what_does_not_belong_together(setting, capsys):
    folder, names, args = setting
    assert precompute_embeddings.main(args) == 0
    pixels = 'teacher.pixel_mean=[1.0,1.0,1.0]'
    assert precompute_embeddings.main([*args, '--cfg-options', pixels]) == 1
    error = capsys.readouterr().err
    assert 'image embeddings of another teacher' in error and 'wanted' in error
    weights = torch.load(folder / 'clip.pt')
    weights['visual.proj'] += 1
    torch.save(weights, folder / 'clip2.pt')
    assert precompute_embeddings.main([*args, '--weights', str(folder / 'clip2.pt')]) == 1
    assert 'another teacher, other weights' in capsys.readouterr().err
    repeated = [*args, '--splits', 'train', 'train', '--out', str(folder / 'new')]
    assert precompute_embeddings.main(repeated) == 1
    assert f'{names[0]!r} occurs twice (samples 0 and 12)' in capsys.readouterr().err
    for wrong in (['--splits', 'val'], ['--weights', 'none.pt'], ['--batch-size', '0']):
        assert precompute_embeddings.main([*args, *wrong]) == 1
        assert 'error: ' in capsys.readouterr().err
    assert precompute_embeddings.main(args[1:]) == 1
    assert 'either a config' in capsys.readouterr().err


def test_a_broken_picture_costs_itself(setting, capsys):
    folder, names, args = setting
    path = folder / 'set/ShapeNetRendering/90000002/s004/rendering/01.png'
    good = path.read_bytes()
    path.write_bytes(good[:40])
    assert precompute_embeddings.main(args) == 1
    streams = capsys.readouterr()
    assert '11 samples computed' in streams.out and '1 left out' in streams.out
    assert names[4] in streams.err and '01.png' in streams.err
    path.write_bytes(good)
    assert precompute_embeddings.main(args) == 0
    assert '1 samples computed, 11 were there' in capsys.readouterr().out


def test_texts_from_a_bank(setting, capsys, data_root):
    """Pictures by no teacher, texts by the names of the classes in a real bank."""
    folder, names, args = setting
    bank = folder / 'bank.py'
    bank.write_text(
        f"text_space = dict(type='TextBank', data_root={str(data_root / 'clip_text_vitb32')!r})"
    )
    taxonomy = [('90000001', 'ball'), ('90000002', 'chair'), ('90000003', 'no such thing')]
    (folder / 'set/taxonomy.json').write_text(
        json.dumps([dict(synsetId=s, name=name) for s, name in taxonomy])
    )
    args = [*args, '--teacher', str(bank), '--texts', 'clip_name', 'class']
    assert precompute_embeddings.main(args) == 0
    streams = capsys.readouterr()
    assert '12 have no view, 4 no text, 1 texts are unknown' in streams.out
    assert 'no such thing' in streams.err
    cache = EmbeddingCache(folder / 'cache')
    assert cache.embed_dim == 512 and cache.image_identity is None
    image, text = cache.read(dict(sample_id=names[1]))
    space = MODELS.build(dict(type='TextBank', data_root=str(data_root / 'clip_text_vitb32')))
    assert image.shape == (0, 512)
    assert np.allclose(text, space.encode_texts(['chair']), atol=1e-3)
    assert cache.read(dict(sample_id=names[2]))[1].shape == (0, 512)


@pytest.mark.parametrize('suffix', ['txt', 'json'])
def test_class_embeddings(setting, suffix, capsys):
    folder, _, args = setting
    names = folder / f'names.{suffix}'
    names.write_text(json.dumps(CLASSES) if suffix == 'json' else '\n'.join(CLASSES) + '\n\n')
    out = str(folder / 'classes.npz')
    args = ['--teacher', args[0], '--classes', str(names), '--out', out, '--device', 'cpu']
    assert precompute_embeddings.main([*args, '--prompts', 'modelnet40_64']) == 0
    found = read_class_embeddings(out)
    assert found.names == CLASSES and found.embeddings.shape == (3, 16)
    assert found.meta['num_templates'] == 64 and found.meta['prompts'] == 'modelnet40_64'
    cfg = precompute_embeddings.prepare_runtime(args[1])
    assert found.meta['key'] == MODELS.build(cfg.teacher).identity
    names.write_text('[]' if suffix == 'json' else '\n')
    assert precompute_embeddings.main(args) == 1
    assert 'no class name' in capsys.readouterr().err
    assert precompute_embeddings.main([*args, '--prompts', 'modelnet']) == 1
    capsys.readouterr()


def test_training_from_the_cache_needs_no_clip(setting, monkeypatch):
    """MRD trains from cached features where OpenCLIP cannot be imported."""
    folder, _, args = setting
    assert precompute_embeddings.main(args) == 0
    for name in [n for n in sys.modules if n.split('.')[0] == 'open_clip']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'open_clip', None)
    with pytest.raises(ImportError, match='open_clip'):
        MODELS.build(dict(type='CLIPTeacher', model=CLIP))
    cfg = precompute_embeddings.prepare_runtime(args[0])
    pipeline = [
        dict(type='LoadPoints'),
        dict(type='SamplePoints', num_points=32),
        dict(type='FillColors'),
        dict(type='LoadEmbeddings', cache_dir=str(folder / 'cache')),
        dict(type='PickEmbeddings'),
        dict(type='PackTriplets'),
    ]
    dataset = build_dataset(dict(cfg.train_dataloader.dataset, pipeline=pipeline))
    encoder = dict(
        type='PPAT', scaling=1, embed_dim=16, depth=1, num_heads=2, mlp_dim=16, patch_dim=16,
        num_groups=8, radius=0.5, group_size=8,
    )  # fmt: skip
    model = MODELS.build(
        dict(
            type='MRD',
            point_encoder=encoder,
            embed_dim=16,
            alignment=dict(type='MultiModalAlignmentLoss'),
            intra_loss=dict(type='IntraRelationLoss'),
            cross_loss=dict(type='CrossRelationLoss'),
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    totals = []
    for _ in range(2):
        data = model.data_preprocessor(pseudo_collate([dataset[i] for i in range(12)]), True)
        inputs = data['inputs']
        assert inputs['has_text'].sum() == 11 and inputs['has_text'][1] == 0
        assert inputs['has_image'].sum() == 11 and inputs['has_image'][2] == 0
        assert inputs['image_embeds'].shape == (12, 16)
        outputs = model(inputs, data['data_samples'], mode='loss')
        total = sum(value for key, value in outputs.items() if 'loss' in key)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert np.isfinite(totals).all() and totals[0] != totals[1]
    assert data['data_samples'][0].embedding_key == EmbeddingCache(folder / 'cache').text_identity
