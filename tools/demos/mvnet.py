"""MVNet on the embedded rooms: teacher, pre-training, matches, pictures, transfer."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import cv2
import numpy as np

from mm3dpretrain.apis import export_backbone, load_pretrained
from mm3dpretrain.apis.features import isolated_rng
from mm3dpretrain.datasets.synthetic import write_synthetic_rooms
from mm3dpretrain.registry import DATASETS, MODELS
from mm3dpretrain.visualization import draw_curves, read_scalars
from tools import compare_transfer
from tools.visualization.visualize_correspondences import draw_sample

from ._common import ROOT, Steps, data_time_share, judge, train, training_seconds, write_json

DATA_ROOT = 'data/synthetic_rooms'
TEACHER = 'mvnet/teacher_resnet18-tiny_1xb16-8e_synthetic-rooms.py'
METHOD = 'mvnet/mvnet_sparseunet-tiny_1xb4-12e_synthetic-rooms.py'
SEGMENTATION = (
    ROOT / 'configs/downstream/mmdet3d/minkunet-tiny_1xb2-6e_synthetic-rooms-seg-10pct-encdec_ft.py'
)
METRIC = 'miou'
# of the epochs of METHOD's config, so that the demo ends within a quarter of an hour on two cores
PRETRAIN_SHARE = 2 / 3
# eight frames a room, as many rooms as the segmentation's config counts
ROOMS = dict(train=100, val=25, frames=8)


def run(args: argparse.Namespace) -> dict:
    """Run all steps; returns the summary."""
    steps = Steps(7)
    out: Path = args.work_dir
    data = args.data or DATA_ROOT
    roots = {
        'train_dataloader.dataset.data_root': data,
        'test_dataloader.dataset.data_root': data,
    }

    with steps.step('data', f'writing embedded rooms with colour, depth and poses to {data}'):
        write_synthetic_rooms(data, **ROOMS)
    with steps.step('teacher', 'training a small image network, the teacher'):
        teacher = train(TEACHER, out / 'teacher', roots, args.fresh, args.scale)
    with steps.step('pretrain', 'pre-training the 3D network on what the teacher sees'):
        options = {**roots, 'model.teacher.weights': str(teacher)}
        checkpoint = train(
            METHOD, out / 'pretrain', options, args.fresh, args.scale * PRETRAIN_SHARE
        )
    with steps.step('matches', 'do pixels of rooms that were held out find each other?'):
        model = load_pretrained(checkpoint)
        views = judge(model, model.cfg, [model.cfg.test_evaluator])[0]
        with isolated_rng(0):
            start = MODELS.build(model.cfg.model).eval()
        untrained = judge(start, model.cfg, [model.cfg.test_evaluator])[0]
        for name, figures in (('pre-trained', views), ('untrained', untrained)):
            print(
                f'    {name:12} median error {figures["median_px"]:5.1f} px   '
                f'similarity to the teacher {figures["teacher_cosine"]:.2f}'
            )
    with steps.step('pictures', 'drawing features beside the teacher, matches, and the loss'):
        entries = read_scalars(out / 'pretrain')
        sheet, curves = out / 'correspondences.png', out / 'loss_curves.png'
        _draw(model, sheet)
        draw_curves(entries, curves, title='MVNet on the embedded rooms')
    with steps.step('transfer', 'segmentation, 10 % of the labels: scratch beside pre-trained'):
        transfer = _transfer(checkpoint, out / 'transfer', data, args)
    with steps.step('export', 'exporting the bare encoder'):
        encoder = out / 'point_encoder.pth'
        print(export_backbone(checkpoint, encoder, scope='encoder'))

    # a second run of the demo trains nothing: the times are those of the training itself
    for name in ('teacher', 'pretrain'):
        steps.seconds[name] = max(steps.seconds[name], training_seconds(out / name))
    losses = [entry['loss'] for entry in entries if 'loss' in entry]
    summary = dict(
        method='MVNet',
        checkpoint=os.path.relpath(checkpoint),
        teacher=os.path.relpath(teacher),
        encoder=str(encoder),
        views=dict(pretrained=views, untrained=untrained),
        transfer=transfer,
        seconds={name: round(value, 1) for name, value in steps.seconds.items()},
        data_time_share=data_time_share(entries),
        loss={'first': losses[0], 'last': losses[-1]},
        pictures=[str(sheet), str(curves)],
    )
    write_json(out / 'summary.json', summary)
    if args.json:
        write_json(Path(args.json), summary)
    _last_screen(summary, out)
    return summary


def _draw(model, path: Path) -> None:
    """Three pairs of views of held-out rooms, side by side."""
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    sheets = []
    with isolated_rng(0):
        for index in np.linspace(0, len(dataset) - 1, 3).round().astype(int):
            sheets.append(draw_sample(model, dataset[int(index)], level=0, lines=20, factor=2))
    gap = np.full((sheets[0].shape[0], 12, 3), 255, np.uint8)
    picture = np.concatenate([part for sheet in sheets for part in (sheet, gap)][:-1], axis=1)
    cv2.imwrite(str(path), picture[..., ::-1])


def _transfer(checkpoint: Path, out: Path, data: str, args: argparse.Namespace) -> dict:
    """Both arms of the segmentation, one seed."""
    command = [str(SEGMENTATION), '--checkpoint', str(checkpoint), '--seeds', '0']
    command += ['--work-dir', str(out), '--scale', str(args.scale), '--metrics', METRIC]
    command += ['--fresh'] if args.fresh else []
    options = [f'{loader}_dataloader.dataset.data_root={data}' for loader in ('train', 'test')]
    table = compare_transfer.compare(
        compare_transfer.parse_args([*command, '--cfg-options', *options])
    )
    return dict({arm: table[METRIC][arm] for arm in ('scratch', 'pretrained')}, metric=METRIC)


def _last_screen(summary: dict, out: Path) -> None:
    views, untrained = (summary['views'][arm] for arm in ('pretrained', 'untrained'))
    scratch, pretrained = (summary['transfer'][arm]['mean'] for arm in ('scratch', 'pretrained'))
    python = os.path.relpath(sys.executable)
    total = sum(summary['seconds'].values())
    print(
        f"""
{'=' * 78}
A 3D network was pre-trained without labels on views of rooms, and tried, in
{total / 60:.1f} minutes, {summary['data_time_share']:.0%} of a training step waiting for data.

Rooms that were held out                       pre-trained    untrained
  a pixel's place in the other view, median    {views['median_px']:8.1f} px {untrained['median_px']:9.1f} px
  (the best single answer to all: {views['constant_px']:.1f} px)
  similarity to the teacher's features         {views['teacher_cosine']:8.2f}    {untrained['teacher_cosine']:9.2f}
Segmentation with the labels of 10 rooms, mean IoU, one seed
  (five: tools/compare_transfer.py)            {pretrained:8.3f}    scratch {scratch:.3f}

Look at
  {summary['pictures'][0]}    features beside the teacher's, matches
  {summary['pictures'][1]}        how the losses fell
  {out / 'summary.json'}           these figures
Use
  {summary['encoder']}    the bare encoder of an mmdet3d.MinkUNetBackbone
Try next
  {python} tools/train.py configs/{METHOD} \\
      --cfg-options model.loss_weights.transfer=0 model.teacher.weights={summary['teacher']}
      (an ablation: only the views' agreement)
  docs/methods/mvnet.md
{'=' * 78}"""  # noqa: E501
    )
