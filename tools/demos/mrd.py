"""MRD on the embedded shapes: small CLIP, embeddings, pre-training, zero-shot, retrieval."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config

from mm3dpretrain.apis import Retriever, export_backbone, load_pretrained
from mm3dpretrain.apis.embeddings import build_teachers, embed_dataset, read_all_views
from mm3dpretrain.apis.features import isolated_rng
from mm3dpretrain.datasets import read_class_embeddings, write_class_embeddings
from mm3dpretrain.datasets.embedding_cache import EmbeddingCache
from mm3dpretrain.datasets.prompts import embed_classes
from mm3dpretrain.datasets.synthetic.writer import write_synthetic_shapes
from mm3dpretrain.evaluation.zero_shot import class_ranks
from mm3dpretrain.registry import DATASETS, MODELS
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import draw_curves, draw_retrieval_sheet, read_scalars

from ._common import ROOT, Steps, data_time_share, judge, train, training_seconds, write_json

DATA_ROOT = 'data/synthetic'
DATA = dict(train_per_class=40, test_per_class=16, views=4, image_size=64)
TEACHER = 'mrd/clip-tiny_1xb64-30e_synthetic.py'
METHOD = 'mrd/mrd_ppat-tiny_1xb64-20e_synthetic.py'
ZERO_SHOT = ROOT / 'configs/downstream/zero_shot/mrd_ppat-tiny_synthetic_zeroshot.py'
RETRIEVAL = ROOT / 'configs/downstream/zero_shot/mrd_ppat-tiny_synthetic-retrieval_zeroshot.py'
# categories whose shapes the point encoder never sees
HELD_OUT = ('bench', 'bed', 'vase', 'ship', 'guitar', 'laptop')
WHITE = (255, 255, 255)
QUERIES = ('a red chair', 'a blue car', 'a wooden table', 'a ship', 'a green bottle')


def run(args: argparse.Namespace) -> dict:
    """Run all steps; returns the summary."""
    steps = Steps(8)
    out: Path = args.work_dir
    data = args.data or DATA_ROOT
    roots = {
        'train_dataloader.dataset.data_root': data,
        'test_dataloader.dataset.data_root': data,
    }

    with steps.step('data', f'writing embedded shapes with views and captions to {data}'):
        write_synthetic_shapes(data, **DATA)
    with steps.step('teacher', 'training a small CLIP on views and captions'):
        clip = train(TEACHER, out / 'teacher', roots, args.fresh, args.scale)
    with steps.step('embeddings', 'embedding all views and captions once'):
        config = prepare_runtime(ROOT / 'configs' / TEACHER, roots)
        teacher, _ = build_teachers(config, str(clip))
        # another teacher is another space: its embeddings go elsewhere
        cache = out / f'embeddings_{teacher.identity}'
        for split in ('train', 'test'):
            dataset = DATASETS.build(config[f'{split}_dataloader'].dataset)
            print('   ', embed_dataset(dataset, cache / split, teacher, teacher))
        classes = cache / 'classes.npz'
        names = dataset.metainfo['classes']
        write_class_embeddings(classes, embed_classes(teacher, names, config.model.prompts))
    with steps.step('pretrain', f'pre-training without the shapes of {", ".join(HELD_OUT)}'):
        options = {
            'train_dataloader.dataset.data_root': data,
            'train_dataloader.dataset.leave_out': list(HELD_OUT),
        }
        config = prepare_runtime(ROOT / 'configs' / METHOD, options)
        set_cache(config.train_dataloader.dataset.pipeline, cache / 'train')
        checkpoint = train(config, out / 'pretrain', {}, args.fresh, args.scale)
    with steps.step('zero_shot', 'naming held-out shapes by words alone'):
        model = load_pretrained(checkpoint)
        zero_shot = _zero_shot(model, names, classes, cache / 'test', data, out)
        for group, row in zero_shot.items():
            print(
                f'    {group:9} shapes {row["top1"]:5.1f} %   their pictures by the teacher '
                f'{row["teacher_top1"]:5.1f} %   untrained {row["untrained_top1"]:5.1f} %'
            )
    with steps.step('retrieval', 'finding shapes by captions and pictures, and back'):
        retrieval = _retrieval(model, cache / 'test', data, out)
        print('   ', ', '.join(f'{k} {v:.1f}' for k, v in retrieval.items() if 'r1' in k))
    with steps.step('pictures', 'drawing what words find, and the loss curves'):
        entries = read_scalars(out / 'pretrain')
        sheet, curves = out / 'retrieval.png', out / 'loss_curves.png'
        _draw(checkpoint, teacher, data, sheet)
        draw_curves(entries, curves, title='MRD on the embedded shapes')
    with steps.step('export', 'exporting the bare encoder'):
        encoder = out / 'point_encoder.pth'
        print(export_backbone(checkpoint, encoder))

    # a second run of the demo trains nothing: the times are those of the training itself
    for name in ('teacher', 'pretrain'):
        steps.seconds[name] = max(steps.seconds[name], training_seconds(out / name))
    losses = [entry['loss'] for entry in entries if 'loss' in entry]
    summary = dict(
        method='MRD',
        checkpoint=os.path.relpath(checkpoint),
        teacher=os.path.relpath(clip),
        encoder=str(encoder),
        zero_shot=zero_shot,
        held_out=list(HELD_OUT),
        retrieval=retrieval,
        seconds={name: round(value, 1) for name, value in steps.seconds.items()},
        data_time_share=data_time_share(entries),
        loss={'first': losses[0], 'last': losses[-1]},
        pictures=[str(sheet), str(curves)],
    )
    write_json(out / 'summary.json', summary)
    if args.json:
        write_json(Path(args.json), summary)
    _last_screen(summary, out, classes)
    return summary


def set_cache(pipeline: list[dict], folder: Path) -> None:
    """Let a pipeline read the embeddings of this run, in place."""
    for step in pipeline:
        if step['type'] == 'LoadEmbeddings':
            step['cache_dir'] = str(folder)


def _zero_shot(model, names, classes: Path, cache: Path, data: str, out: Path) -> dict:
    """Top-1 in percent of held-out shapes, of categories that were and were not trained on."""
    cfg = prepare_runtime(ZERO_SHOT, {'test_dataloader.dataset.data_root': data})
    with isolated_rng(0):
        untrained = MODELS.build(model.cfg.model).eval()
    texts, labels, images = _teacher_view(cfg, classes, cache)
    groups = dict(seen=[name for name in names if name not in HELD_OUT], held_out=list(HELD_OUT))
    result = {
        group: dict(classes=len(chosen), chance_top1=100 / len(chosen))
        for group, chosen in groups.items()
    }
    for arm, network in (('', model), ('untrained_', untrained)):
        evaluators = [
            dict(
                cfg.test_evaluator,
                class_embeddings=str(classes),
                classes=chosen,
                topk=(1, 3, 5),
                out_file=str(out / f'{arm}{group}_zero_shot.json'),
            )
            for group, chosen in groups.items()
        ]
        for group, figures in zip(groups, judge(network, cfg, evaluators)):
            result[group] |= {f'{arm}{key}': value for key, value in figures.items()}
    for group, chosen in groups.items():
        rows = np.array([names.index(name) for name in chosen])
        kept = torch.from_numpy(np.isin(labels, rows))
        place = torch.tensor([int(np.flatnonzero(rows == x)[0]) for x in labels[kept.numpy()]])
        ranks = class_ranks(images[kept], texts[torch.from_numpy(rows)], place)
        result[group]['teacher_top1'] = 100 * float((ranks < 1).float().mean())
    return result


def _teacher_view(cfg: Config, classes: Path, cache: Path):
    """Texts (C, D) of the classes, labels and mean picture embeddings (n, D) of the test shapes."""
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    found = EmbeddingCache(cache)
    texts = read_class_embeddings(classes).select(dataset.metainfo['classes'])
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    images = [
        F.normalize(torch.from_numpy(np.array(found.read(r)[0])).float(), dim=1).mean(0)
        for r in records
    ]
    labels = np.array([record['gt_label'] for record in records])
    return torch.from_numpy(texts.embeddings), labels, F.normalize(torch.stack(images), dim=1)


def _retrieval(model, cache: Path, data: str, out: Path) -> dict:
    cfg = prepare_runtime(RETRIEVAL, {'test_dataloader.dataset.data_root': data})
    set_cache(cfg.test_dataloader.dataset.pipeline, cache)
    evaluator = dict(cfg.test_evaluator, out_file=str(out / 'retrieval.json'))
    return judge(model, cfg, [evaluator])[0]


def _draw(checkpoint: Path, teacher, data: str, path: Path) -> None:
    """For each query the views of the five shapes that it finds."""
    cfg = prepare_runtime(ZERO_SHOT, {'test_dataloader.dataset.data_root': data})
    dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, images='required'))
    retriever = Retriever(str(checkpoint), text_space=teacher)
    index = retriever.index(dataset)
    records = {r['sample_id']: r for r in map(dataset.get_data_info, range(len(dataset)))}
    names = dataset.metainfo['classes']
    found = [retriever.query(index, text=text, topk=5) for text in QUERIES]
    pictures = [
        [cv2.resize(read_all_views(records[name], WHITE)[0], (128, 128)) for name, _ in row]
        for row in found
    ]
    captions = [
        [f'{names[records[name]["gt_label"]]} {score:.2f}' for name, score in row] for row in found
    ]
    cv2.imwrite(str(path), draw_retrieval_sheet(QUERIES, pictures, captions)[..., ::-1])


def _last_screen(summary: dict, out: Path, classes: Path) -> None:
    seen, held = (summary['zero_shot'][group] for group in ('seen', 'held_out'))
    found = summary['retrieval']
    python = os.path.relpath(sys.executable)
    total = sum(summary['seconds'].values())

    def row(entry: dict) -> str:
        return (
            f'{entry["top1"]:6.1f} %   {entry["teacher_top1"]:6.1f} %   '
            f'{entry["untrained_top1"]:6.1f} %   {entry["chance_top1"]:5.1f} %'
        )

    print(
        f"""
{'=' * 78}
A point encoder learned the space of a small CLIP, and names shapes by words, in
{total / 60:.1f} minutes, {summary['data_time_share']:.0%} of a training step waiting for data.

Zero-shot, shapes that were held out       shapes   CLIP, pictures  untrained  chance
  {seen['classes']:2} categories of the training    {row(seen)}
  {held['classes']:2} categories never seen         {row(held)}
Retrieval among all of them, first answer right
  shapes by captions {found['t2p_r1']:.1f} %, captions by shapes {found['p2t_r1']:.1f} %,
  shapes by pictures {found['i2p_r1']:.1f} %, pictures by shapes {found['p2i_r1']:.1f} %

Look at
  {summary['pictures'][0]}       what words find
  {summary['pictures'][1]}     how the losses fell
  {out / 'summary.json'}        these figures
Use
  {summary['encoder']}    the bare encoder (PPAT)
Try next
  {python} tools/zero_shot.py {summary['checkpoint']} SHAPE.obj \\
      --class-embeddings {classes}
  {python} tools/train.py configs/mrd/mrd_ppat-tiny-alignment_1xb64-20e_synthetic.py
      (the baseline: alignment alone)
  docs/methods/mrd.md
{'=' * 78}"""
    )
