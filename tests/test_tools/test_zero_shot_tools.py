"""The command lines of zero-shot classification and retrieval."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from toy_space import ToyCLIPSpace, toy_config, write_shapes, write_toy_checkpoint

from mm3dpretrain.apis import Retriever, ZeroShotClassifier
from mm3dpretrain.datasets import (
    ClassEmbeddings,
    read_class_embeddings,
    write_class_embeddings,
)
from mm3dpretrain.datasets.prompts import embed_classes
from tools import retrieve, zero_shot
from tools import test as test_tool
from tools.analysis_tools import benchmark_retrieval
from tools.dataset_converters import make_class_embeddings


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """A checkpoint, shapes, a text config and class embeddings."""
    root = tmp_path_factory.mktemp('world')
    write_toy_checkpoint(root / 'toy.pth')
    write_shapes(root / 'shapes')
    Config(dict(text_space=dict(type='ToyCLIPSpace'), prompts='plain'), filename=None).dump(
        root / 'text.py'
    )
    rows = np.random.default_rng(0).normal(size=(3, 12))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    write_class_embeddings(root / 'classes.npz', ClassEmbeddings(('cup', 'hat', 'bed'), rows))
    return root


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_zero_shot(world, tmp_path, capsys):
    path = str(world / 'shapes' / 'kind0' / 'tetra.off')
    names = ['chair', 'table', 'red lamp']
    code = zero_shot.main(
        [str(world / 'toy.pth'), path, '--text', str(world / 'text.py'), '--classes', *names,
         '--json', str(tmp_path / 'r.json'), '--out', str(tmp_path / 's.png'), '--topk', '2'],
    )  # fmt: skip
    assert code == 0
    classify = ZeroShotClassifier(world / 'toy.pth', world / 'text.py', prompts='plain')
    expected = classify(path, names, topk=2)
    found = json.loads((tmp_path / 'r.json').read_text())[path]
    assert [(entry['name'], entry['cosine']) for entry in found] == expected
    printed = capsys.readouterr()
    assert expected[0][0] in printed.out and 'stand on axis y' in printed.err
    assert size_of(tmp_path / 's.png')[0] == 200
    code = zero_shot.main(
        [str(world / 'toy.pth'), path, '--class-embeddings', str(world / 'classes.npz')]
    )
    assert code == 0 and 'hat' in capsys.readouterr().out


def test_retrieve_from_a_folder(world, tmp_path, capsys):
    index = str(tmp_path / 'i.npz')
    folder = world / 'shapes'
    assert retrieve.main(['index', str(world / 'toy.pth'), str(folder), '--out', index]) == 0
    said = capsys.readouterr()
    assert '7 shapes, 12 dimensions' in said.out and 'stand on axis y' in said.err
    common = ['query', index, '--text', str(world / 'text.py'), '--topk', '3']
    out, page = tmp_path / 's.png', tmp_path / 's.html'
    code = retrieve.main(
        [*common, '--query', 'a red chair', '--json', str(tmp_path / 'r.json'), '--out', str(out),
         '--html', str(page)],
    )  # fmt: skip
    assert code == 0
    expected = Retriever(text_space=world / 'text.py').query(index, text='a red chair', topk=3)
    found = [(e['id'], e['cosine']) for e in json.loads((tmp_path / 'r.json').read_text())]
    assert found == expected
    assert size_of(out)[0] == 3 * 196 + 4 and 'a red chair' in page.read_text()
    picture = tmp_path / 'q.png'
    Image.fromarray(np.full((20, 30, 3), (250, 9, 9), np.uint8)).save(picture)
    assert retrieve.main([*common, '--image', str(picture), '--out', str(out)]) == 0
    shape = folder / 'kind0' / 'tetra.off'
    capsys.readouterr()
    code = retrieve.main(
        ['query', index, '--shape', str(shape), '--checkpoint', str(world / 'toy.pth'),
         '--out', str(out)]
    )  # fmt: skip
    assert code == 0
    assert capsys.readouterr().out.splitlines()[0].endswith('kind0/tetra.off')
    assert size_of(out)[0] == 6 * 196 + 4


def test_retrieve_from_a_config(world, tmp_path, capsys):
    pipeline = [
        dict(type='LoadPoints'),
        dict(type='SamplePoints', num_points=64),
        dict(type='NormalizePoints', center='bbox'),
        dict(type='FillColors'),
        dict(type='PackTriplets'),
    ]
    data = dict(
        type='UserFolder', data_root=str(world / 'shapes'), num_points=64, cache_dir=None,
        pipeline=pipeline,
    )  # fmt: skip
    Config(dict(test_dataloader=dict(dataset=data))).dump(tmp_path / 'data.py')
    index, out = str(tmp_path / 'i.npz'), tmp_path / 's.png'
    code = retrieve.main(
        ['index', str(world / 'toy.pth'), str(tmp_path / 'data.py'), '--out', index]
    )
    assert code == 0
    code = retrieve.main(
        ['query', index, '--text', str(world / 'text.py'), '--query', 'hat', '--out', str(out)]
    )
    assert code == 0 and size_of(out)[0] == 5 * 196 + 4


def test_errors_are_one_line(world, tmp_path, capsys):
    checkpoint, text = str(world / 'toy.pth'), str(world / 'text.py')
    empty = tmp_path / 'empty'
    empty.mkdir()
    cases = [
        (zero_shot, [checkpoint, 'no.obj', '--text', text, '--classes', 'a'], 'does not exist'),
        (zero_shot, ['no.pth', 'a.obj', '--text', text, '--classes', 'a'], 'no.pth'),
        (zero_shot, [checkpoint, 'a.obj', '--class-embeddings', 'no.npz'], 'do not exist'),
        (
            zero_shot,
            [checkpoint, 'a.obj', '--text', text, '--classes', 'a', '--prompts', 'modelnet'],
            'modelnet40_64',
        ),
        (retrieve, ['index', checkpoint, str(empty), '--out', str(tmp_path / 'i.npz')], 'no ('),
        (retrieve, ['query', 'no.npz', '--query', 'a', '--text', text], 'no index'),
    ]
    for tool, args, match in cases:
        assert tool.main(args) == 1
        error = capsys.readouterr().err
        assert error.startswith('error:') and match in error, (args, error)
    for tool, args in (
        (zero_shot, [checkpoint, 'a.obj', '--text', text]),
        (zero_shot, [checkpoint, 'a.obj', '--class-embeddings', 'c.npz', '--out', 'a.xyz']),
        (retrieve, ['query', 'i.npz', '--query', 'a']),
        (retrieve, ['query', 'i.npz', '--shape', 'a.obj']),
        (retrieve, ['index', checkpoint, 'folder', '--out', 'index.bin']),
    ):
        with pytest.raises(SystemExit):
            tool.main(args)


def test_class_embeddings_tool(world, tmp_path, capsys):
    out, text = str(tmp_path / 'c.npz'), str(world / 'text.py')
    assert (
        make_class_embeddings.main(
            ['--out', out, '--text', text, '--classes', 'chair', 'night stand', '--prompts', 'a']
        )
        == 0
    )
    found = read_class_embeddings(out)
    expected = embed_classes(ToyCLIPSpace(), ['chair', 'night stand'], 'a')
    assert found.names == expected.names and found.meta == expected.meta
    np.testing.assert_array_equal(found.embeddings, expected.embeddings)
    # the words of a data set's classes
    data = dict(
        type='UserFolder', data_root=str(world / 'shapes'), pipeline=[],
        metainfo=dict(class_texts=['one kind', 'another kind']),
    )  # fmt: skip
    Config(dict(test_dataloader=dict(dataset=data))).dump(tmp_path / 'data.py')
    assert (
        make_class_embeddings.main(
            ['--out', out, '--text', text, '--data', str(tmp_path / 'data.py')]
        )
        == 0
    )
    found = read_class_embeddings(out)
    assert found.names == ('kind0', 'kind1')
    words = ToyCLIPSpace().encode_texts(['one kind', 'another kind']).numpy()
    np.testing.assert_allclose(found.embeddings, words, atol=1e-6)
    # OpenShape's features without names
    rows = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    with open(tmp_path / 'lvis.npy', 'wb') as file:
        pickle.dump(rows, file)
    args = ['--out', out, '--openshape', str(tmp_path / 'lvis.npy')]
    assert make_class_embeddings.main([*args, '--classes', 'x', 'y']) == 0
    assert read_class_embeddings(out).names == ('x', 'y')
    assert make_class_embeddings.main(args) == 1
    assert 'give names' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        make_class_embeddings.main(['--out', out, '--text', text])


def test_the_test_loop_scores_a_checkpoint(world, tmp_path):
    """tools/test.py, a data set of files, the metric, and the result beside the log."""
    pipeline = [
        dict(type='LoadPoints'),
        dict(type='SamplePoints', num_points=64),
        dict(type='NormalizePoints', center='bbox'),
        dict(type='FillColors'),
        dict(type='PackTriplets'),
    ]
    data = dict(
        type='UserFolder', data_root=str(world / 'shapes'), num_points=64, cache_dir=None,
        test_mode=True, pipeline=pipeline, gravity_axis='y',
    )  # fmt: skip
    cfg = toy_config()
    cfg.pop('train_dataloader')
    cfg.merge_from_dict(
        dict(
            test_dataloader=dict(
                batch_size=3,
                sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
                collate_fn=dict(type='default_collate'),
                dataset=data,
            ),
            test_evaluator=dict(
                type='ZeroShotMetric',
                class_embeddings=dict(text_space=dict(type='ToyCLIPSpace'), prompts='plain'),
                topk=(1, 2),
            ),
            test_cfg=dict(),
            default_hooks=dict(logger=dict(type='LoggerHook')),
        )
    )
    cfg.dump(tmp_path / 'cfg.py')
    metrics = test_tool.main(
        [str(tmp_path / 'cfg.py'), str(world / 'toy.pth'), '--work-dir', str(tmp_path / 'work')]
    )
    assert metrics['zeroshot/top2'] == 100
    (path,) = (tmp_path / 'work').glob('*/zero_shot.json')
    result = json.loads(path.read_text())
    assert result['metrics']['top1'] == metrics['zeroshot/top1']
    assert result['about']['shapes'] == 7 and result['about']['split'] == 'all'
    assert result['about']['gravity_axis'] == 'y' and result['about']['texts']['key'] == 'toy'


def test_benchmark_retrieval(capsys):
    assert benchmark_retrieval.main(['--gallery', '200', '--queries', '20', '--dim', '8']) == 0
    assert '20 of 200 queries, 8 dimensions, cpu' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        benchmark_retrieval.main(['--gallery', '2', '--queries', '20'])
