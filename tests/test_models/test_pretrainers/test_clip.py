from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from embedding_sets import CLASSES, CLIP, dataset_config, write_shapes
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

from mm3dpretrain.apis.embeddings import build_teachers
from mm3dpretrain.apis.features import build_dataset
from mm3dpretrain.registry import MODELS
from mm3dpretrain.utils import prepare_runtime

pytest.importorskip('open_clip')
ROOT = Path(__file__).resolve().parents[3]
TOWER = {key: value for key, value in CLIP.items() if key != 'text_cfg'}
PIXELS = dict(type='PretrainDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3)


def build(**kwargs):
    return MODELS.build(dict(type='CLIPPretrainer', **dict(dict(model=CLIP), **kwargs)))


@pytest.fixture
def bank(tmp_path):
    """Config of a bank of the classes, 16 wide as the small CLIP."""
    vectors = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    np.save(tmp_path / 'merged.npy', vectors)
    (tmp_path / 'names.json').write_text(json.dumps(dict(merged=CLASSES)))
    return dict(type='TextBank', data_root=str(tmp_path))


def batch(size=5, text=True):
    inputs = dict(img=torch.randn(size, 3, 16, 16))
    if text:
        tokens = torch.randint(1, 300, (size, 12))
        tokens[:, -1] = 49407  # end of text, where the tower reads
        inputs['text_tokens'] = tokens.float()
    return inputs


def test_loss_is_that_of_clip():
    model, inputs = build(), batch()
    out = model(inputs, mode='loss')
    image = F.normalize(model.clip.encode_image(inputs['img']), dim=1)
    text = F.normalize(model.clip.encode_text(inputs['text_tokens'].long()), dim=1)
    logits, wanted = (image @ text.T / 0.07).detach(), 0.0
    for i in range(5):  # a naive twin
        wanted += -math.log(logits[i, i].exp() / logits[i].exp().sum()) / 10
        wanted += -math.log(logits[i, i].exp() / logits[:, i].exp().sum()) / 10
    assert out['loss_clip'].item() == pytest.approx(wanted, rel=1e-4)
    assert out['logit_scale'].item() == pytest.approx(1 / 0.07, rel=1e-4)
    out['loss_clip'].backward()
    lacking = [name for name, p in model.named_parameters() if p.grad is None]
    assert not lacking  # so that a distributed run need not look for unused ones


def test_samples_without_text_do_not_count():
    model, inputs = build(), batch()
    inputs['has_text'] = torch.tensor([1.0, 0, 1, 1, 0])
    kept = {key: value[[0, 2, 3]] for key, value in inputs.items() if key != 'has_text'}
    whole, part = model(inputs, mode='loss'), model(kept, mode='loss')
    assert whole['loss_clip'].item() == pytest.approx(part['loss_clip'].item(), rel=1e-5)


def test_scale_has_a_limit():
    model = build()
    model.clip.logit_scale.data.fill_(9.0)
    assert model(batch(), mode='loss')['logit_scale'].item() == pytest.approx(100, rel=1e-4)


def test_locked_text(bank):
    model = build(model=TOWER, text_space=bank, classes=CLASSES)
    assert not any('text_space' in key or 'transformer.' in key and 'visual' not in key
                   for key in model.state_dict())  # fmt: skip
    labels = torch.tensor([0, 1, 1, 2, 0])
    inputs = dict(batch(text=False), text_embeds=model.text_space.encode_texts(CLASSES)[labels])
    out = model(inputs, mode='loss')
    out['loss_clip'].backward()
    assert all(p.grad is not None for p in model.parameters())
    samples = model(inputs, mode='predict')
    wanted = model.extract_feat(inputs)['embed'] @ model.text_space.encode_texts(CLASSES).T
    assert [s.pred_label.item() for s in samples] == wanted.argmax(1).tolist()
    with pytest.raises(ValueError, match='needs a text_space'):
        build(model=TOWER)


def test_views_of_a_thing_are_averaged():
    model = build().eval()
    img = torch.randn(2, 3, 3, 16, 16)
    found = model.extract_feat(dict(img=img))
    assert torch.equal(found['global'], found['embed'])
    for thing, row in zip(img, found['embed']):
        unit = [F.normalize(model.clip.encode_image(view[None]), dim=1)[0] for view in thing]
        assert torch.allclose(row, F.normalize(sum(unit), dim=0), atol=1e-5)


def test_learns_and_becomes_a_teacher(tmp_path):
    """From pictures and captions to a checkpoint, a teacher and a score, through the runner."""
    write_shapes(tmp_path / 'set', 24)
    train = [
        dict(type='LoadView', load_cameras=False),
        dict(type='TokenizeCaption', model=CLIP),
        dict(type='PackTriplets'),
    ]
    test = [dict(type='LoadView', num_views=3, which='first'), dict(type='PackTriplets')]
    root = tmp_path / 'set'
    for name in ('train', 'test'):  # the shape without a picture cannot be trained on
        path = root / f'ShapeNet55-34/ShapeNet-55/{name}.txt'
        path.write_text('\n'.join(n for n in path.read_text().split() if 's002' not in n))
    loaders = [
        dict(
            batch_size=23,
            num_workers=0,
            sampler=dict(type='SeededSampler', shuffle=not test_mode),
            collate_fn=dict(type='default_collate'),
            dataset=dict(dataset_config(root, pipeline), test_mode=test_mode),
        )
        for pipeline, test_mode in ((train, False), (test, True))
    ]
    cfg = dict(
        model=dict(
            type='CLIPPretrainer',
            model=CLIP,
            data_preprocessor=PIXELS,
            classes=CLASSES,
            prompts='a',
        ),
        work_dir=str(tmp_path / 'run'),
        train_dataloader=loaders[0],
        test_dataloader=loaders[1],
        test_evaluator=dict(type='ClassificationAccuracy', prefix='zeroshot'),
        test_cfg=dict(),
        train_cfg=dict(type='ResumableTrainLoop', max_epochs=30),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=30)),
        default_scope='mm3dpretrain',
        experiment_name=tmp_path.name,
        randomness=dict(seed=0),
        log_level='WARNING',
    )
    runner = Runner(**cfg)
    assert runner.test()['zeroshot/top1'] < 90
    runner.train()
    assert runner.test()['zeroshot/top1'] == 100
    teacher, space = build_teachers(cfg, str(tmp_path / 'run/epoch_30.pth'))
    assert space is teacher and teacher.pixel_mean == [127.5] * 3
    dataset = build_dataset(dict(loaders[0]['dataset'], pipeline=test))
    data = pseudo_collate([dataset[i] for i in range(4)])
    model = runner.model.eval()
    views = torch.stack(data['inputs']['img']).permute(0, 1, 3, 4, 2).flatten(0, 1)
    found = teacher.encode_image(teacher.preprocess(views)).reshape(4, 3, -1).mean(1)
    with torch.no_grad():
        wanted = model.extract_feat(model.data_preprocessor(data)['inputs'])['embed']
    assert torch.allclose(F.normalize(found, dim=1), wanted, atol=1e-5)
    with pytest.raises(ValueError, match='needs the checkpoint'):
        build_teachers(cfg)
    with pytest.raises(ValueError, match='neither teacher'):
        build_teachers(dict(model=dict(type='MRD')))


def test_config_names_the_classes_of_the_set():
    from mm3dpretrain.datasets.synthetic import CATEGORIES

    cfg = prepare_runtime(ROOT / 'configs/mrd/clip-tiny_1xb64-30e_synthetic.py')
    assert tuple(cfg.model.classes) == tuple(c.name for c in CATEGORIES)
    model = MODELS.build(cfg.model)
    assert model.class_embeddings().shape == (27, 128)
    preprocessor = model.data_preprocessor
    teacher = MODELS.build(dict(type='CLIPTeacher', model=cfg.clip_model))
    teacher.check_normalization(preprocessor)
    # a caption fits into the context
    tokens = teacher.tokenize(
        ['a high-backed brown leather chair with four legs, a solid back and armrests']
    )
    assert tokens[0, -1] == 0 and len(teacher.state_dict()) == 0
