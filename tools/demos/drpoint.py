"""DR-Point on the embedded shapes: tokenizer, pre-training, probe, pictures, export."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

from mm3dpretrain.apis import export_backbone, load_pretrained
from mm3dpretrain.datasets.synthetic.writer import write_synthetic_shapes
from mm3dpretrain.evaluation import format_table, run_probe
from mm3dpretrain.registry import DATASETS
from mm3dpretrain.visualization import draw_curves, draw_reconstructions, read_scalars

from ._common import Steps, data_time_share, train, training_seconds, write_json

TOKENIZER = 'drpoint/pointdvae_dgcnn-tiny_1xb32-10e_synthetic.py'
METHOD = 'drpoint/drpoint_pointtransformer-tiny_1xb32-20e_synthetic.py'


def run(args: argparse.Namespace) -> dict:
    """Run all steps; returns the summary."""
    steps = Steps(6)
    out: Path = args.work_dir
    data_root = args.data or 'data/synthetic'
    data = {'train_dataloader.dataset.data_root': data_root}

    with steps.step('data', f'writing embedded shapes with RGB views to {data_root}'):
        write_synthetic_shapes(data_root, **DATA)
    with steps.step('tokenizer', 'training the tokenizer of patches (dVAE)'):
        tokenizer = train(TOKENIZER, out / 'tokenizer', data, args.fresh, args.scale)
    with steps.step('pretrain', 'pre-training the point encoder on points, RGB and depth'):
        options = {
            **data,
            'model.tokenizer.init_cfg.checkpoint': str(tokenizer),
            'probe.train_dataset.data_root': data_root,
            'probe.test_dataset.data_root': data_root,
        }
        checkpoint = train(METHOD, out / 'pretrain', options, args.fresh, args.scale)
    with steps.step('probe', 'probing frozen features, pre-trained beside untrained'):
        result = run_probe(checkpoint)
        print(format_table(result))
    with steps.step('pictures', 'drawing reconstructions and loss curves'):
        entries = read_scalars(out / 'pretrain')
        sheet, curves = out / 'contact_sheet.png', out / 'loss_curves.png'
        _draw_sheet(checkpoint, sheet)
        draw_curves(entries, curves, title='DR-Point on the embedded shapes')
    with steps.step('export', 'exporting the bare encoder'):
        encoder = out / 'point_encoder.pth'
        report = export_backbone(checkpoint, encoder)
        print(report)

    # a second run of the demo trains nothing: the times are those of the training itself
    for name in ('tokenizer', 'pretrain'):
        steps.seconds[name] = max(steps.seconds[name], training_seconds(out / name))
    losses = [entry['loss'] for entry in entries if 'loss' in entry]
    summary = dict(
        method='DR-Point',
        checkpoint=os.path.relpath(checkpoint),
        tokenizer=os.path.relpath(tokenizer),
        encoder=str(encoder),
        probe=result['probe'],
        num_train=result['num_train'],
        num_test=result['num_test'],
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


DATA = dict(train_per_class=40, test_per_class=16, views=4, image_size=64)


def _draw_sheet(checkpoint: Path, path: Path) -> None:
    """Input, view, depth of truth and reconstruction, and the reconstruction of held-out shapes."""
    model = load_pretrained(checkpoint)
    cfg = model.cfg
    pipeline = [
        dict(type='LoadPoints'),
        dict(type='LoadView', which='first', load_cameras=False),
        dict(type='SamplePoints', num_points=512, method='fps'),
        dict(type='NormalizePoints'),
        dict(type='PackTriplets'),
    ]
    dataset = DATASETS.build(
        dict(cfg.train_dataloader.dataset, split='test', test_mode=True, pipeline=pipeline)
    )
    torch.manual_seed(0)
    chosen = torch.linspace(0, len(dataset) - 1, 8).long().tolist()
    items = [dataset[i] for i in chosen]
    points = torch.stack([item['inputs']['points'] for item in items])
    draw_reconstructions(
        model.eval().reconstruct(points),
        points,
        [item['inputs']['img'] for item in items],
        [item['data_samples'].get('caption', [''])[0] for item in items],
        path,
    )


def _last_screen(summary: dict, out: Path) -> None:
    svm, knn = (summary['probe'][name] for name in ('linear_svm', 'knn'))
    gain = svm['pretrained']['mean'] - svm['untrained']['mean']
    seeds = len(svm['pretrained']['seeds'])
    python = os.path.relpath(sys.executable)
    total = sum(summary['seconds'].values())

    def row(entry: dict) -> str:
        cells = [
            f'{e["mean"]:5.1f} +- {e["std"]:.1f} %'
            for e in (entry['pretrained'], entry['untrained'])
        ]
        return '   '.join(cells)

    print(
        f"""
{'=' * 78}
A 3D point encoder was pre-trained without labels on points, RGB and depth, in
{total / 60:.1f} minutes, {summary['data_time_share']:.0%} of a training step waiting for data.

Accuracy on held-out shapes, frozen features:   pre-trained       untrained
  linear SVM                                   {row(svm)}
  k nearest neighbours                         {row(knn)}
  (mean and deviation of {seeds} seeds, {summary['num_test']} shapes; SVM {gain:+.1f} points)

Look at
  {summary['pictures'][0]}    what it renders and reconstructs
  {summary['pictures'][1]}      how the losses fell
  {out / 'summary.json'}         these figures
Use
  {summary['encoder']}    the bare encoder:
    backbone=dict(type='mm3dpretrain.PointTransformer', ..., init_cfg=dict(
        type='Pretrained', checkpoint='{summary['encoder']}'))
Try next
  {python} tools/probe.py {summary['checkpoint']}
  {python} tools/train.py configs/{METHOD} \\
      --cfg-options model.loss_weights.dr=0 \\
      model.tokenizer.init_cfg.checkpoint={summary['tokenizer']}
      (an ablation: no rendering loss)
  README.md, "Train on real data"
{'=' * 78}"""
    )
