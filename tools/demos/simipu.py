"""SimIPU on the embedded streets: pre-training, retrieval, pictures, transfer beside scratch."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import cv2
import torch
from mmengine.runner import Runner

from mm3dpretrain.apis import export_backbone, load_pretrained
from mm3dpretrain.apis.features import isolated_rng
from mm3dpretrain.datasets.synthetic import write_synthetic_streets
from mm3dpretrain.registry import MODELS
from mm3dpretrain.visualization import draw_curves, read_scalars
from mm3dpretrain.visualization.lidar_overlay import draw_lidar_overlay
from tools import compare_transfer

from ._common import ROOT, Steps, data_time_share, judge, train, training_seconds, write_json

DATA_ROOT = 'data/synthetic_streets'
METHOD = 'simipu/simipu_r18-pillars-tiny_1xb2-16e_synthetic-streets.py'
DOWNSTREAM = ROOT / 'configs/downstream'
DEPTH = DOWNSTREAM / 'depth/densedepth_resnet18-tiny_1xb4-100e_synthetic-streets_ft.py'
DETECTOR = DOWNSTREAM / 'mmdet3d/pointpillars-tiny_1xb4-80e_synthetic-streets_ft.py'
# name, config, further arguments, metric, what the last screen calls it
TRANSFERS = (
    (
        'depth',
        DEPTH,
        ['--prefix', 'img_encoder.'],
        'depth/abs_rel',
        'relative error of the depth of a picture (lower is better)',
    ),
    (
        'detection',
        DETECTOR,
        [],
        'Kitti metric/pred_instances_3d/KITTI/Car_3D_AP40_moderate_loose',
        'AP40 of cars in the LiDAR, 3D IoU 0.5 (higher is better)',
    ),
)


def run(args: argparse.Namespace) -> dict:
    """Run all steps; returns the summary."""
    steps = Steps(6)
    out: Path = args.work_dir
    data = args.data or DATA_ROOT
    roots = {
        'train_dataloader.dataset.data_root': data,
        'test_dataloader.dataset.data_root': data,
    }

    with steps.step('data', f'writing embedded streets with pictures and LiDAR to {data}'):
        write_synthetic_streets(data)
    with steps.step('pretrain', 'pre-training both encoders on pictures and LiDAR'):
        checkpoint = train(METHOD, out / 'pretrain', roots, args.fresh, args.scale)
    with steps.step('retrieval', 'do pixels of held-out frames find their LiDAR points?'):
        model = load_pretrained(checkpoint)
        with isolated_rng(0):
            start = MODELS.build(model.cfg.model).eval()
        retrieval, untrained = (
            judge(network, model.cfg, [model.cfg.test_evaluator])[0] for network in (model, start)
        )
        for name, figures in (('pre-trained', retrieval), ('untrained', untrained)):
            print(f'    {name:12} top-1 {figures["top1"]:5.1f} %   top-5 {figures["top5"]:5.1f} %')
    with steps.step('pictures', 'drawing what is similar, and the loss curves'):
        entries = read_scalars(out / 'pretrain')
        sheet, curves = out / 'similarity.png', out / 'loss_curves.png'
        _draw_similarity(_first_frames(model), sheet)
        draw_curves(entries, curves, title='SimIPU on the embedded streets')
    with steps.step('transfer', 'few labels: from scratch beside pre-trained, one seed each'):
        transfer = _transfer(checkpoint, out / 'transfer', data, args)
    with steps.step('export', 'exporting the bare image encoder'):
        encoder = out / 'img_encoder.pth'
        print(export_backbone(checkpoint, encoder, module='image'))

    # a second run of the demo trains nothing: the time is that of the training itself
    steps.seconds['pretrain'] = max(steps.seconds['pretrain'], training_seconds(out / 'pretrain'))
    losses = [entry['loss'] for entry in entries if 'loss' in entry]
    summary = dict(
        method='SimIPU',
        checkpoint=os.path.relpath(checkpoint),
        encoder=str(encoder),
        retrieval=dict(pretrained=retrieval, untrained=untrained),
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


@torch.no_grad()
def _first_frames(model, number: int = 4) -> list:
    """Pictures, projections and predictions of the first held-out frames."""
    kept = []
    for batch in Runner.build_dataloader(model.cfg.test_dataloader, seed=0):
        predictions = model.predict(**model.data_preprocessor(batch))
        kept.extend(zip(batch['inputs']['img'], batch['inputs']['lidar2img'], predictions))
        if len(kept) >= number:
            break
    return kept[:number]


def _draw_similarity(samples: list, path: Path) -> None:
    """LiDAR over the pictures, coloured by how alike a point and its pixel are."""
    rows = []
    for image, lidar2img, sample in samples:
        similarity = (sample.point_embed * sample.image_embed).sum(-1)
        seen = sample.point_seen[0]
        rows.append(
            draw_lidar_overlay(
                image[0].permute(1, 2, 0).byte().cpu().numpy(),
                sample.feat_xyz[seen].cpu().numpy(),
                lidar2img[0].cpu().numpy(),
                similarity[seen].cpu().numpy(),
                low=-0.2,
                high=1.0,
                radius=2,
                legend='cosine of pixel and point',
            )
        )
    picture = torch.cat([torch.from_numpy(row) for row in rows]).numpy()
    cv2.imwrite(str(path), picture[..., ::-1])


def _transfer(checkpoint: Path, out: Path, data: str, args: argparse.Namespace) -> dict:
    """Both arms of each downstream task, one seed."""
    results = {}
    for name, config, more, metric, _ in TRANSFERS:
        command = [str(config), '--checkpoint', str(checkpoint), '--seeds', '0', *more]
        command += ['--work-dir', str(out / name), '--scale', str(args.scale)]
        options = [
            f'train_dataloader.dataset.data_root={data}',
            f'test_dataloader.dataset.data_root={data}',
        ]
        if name == 'detection':
            options.append(f'test_evaluator.0.ann_file={data}/kitti_infos_val.pkl')
        command += ['--metrics', metric]
        command += ['--fresh'] if args.fresh else []
        table = compare_transfer.compare(
            compare_transfer.parse_args([*command, '--cfg-options', *options])
        )
        results[name] = {arm: table[metric][arm] for arm in ('scratch', 'pretrained')}
        results[name]['metric'] = metric
    return results


def _last_screen(summary: dict, out: Path) -> None:
    retrieval = summary['retrieval']['pretrained']
    untrained = summary['retrieval']['untrained']
    python = os.path.relpath(sys.executable)
    rows = []
    for name, _, _, _, title in TRANSFERS:
        entry = summary['transfer'][name]
        scratch, pretrained = (entry[arm]['mean'] for arm in ('scratch', 'pretrained'))
        rows.append(f'  {title}\n    scratch {scratch:.3f}, pre-trained {pretrained:.3f}')
    rows = '\n'.join(rows)
    total = sum(summary['seconds'].values())
    print(
        f"""
{'=' * 78}
An image and a LiDAR encoder were pre-trained without labels, and tried, in
{total / 60:.1f} minutes, {summary['data_time_share']:.0%} of a training step waiting for data.

Held-out frames: which of 1,024 points is it that a pixel shows?
  right at once   {retrieval['top1']:5.1f} %   untrained {untrained['top1']:.1f} %   chance {retrieval['chance_top1']:.1f} %
  among five      {retrieval['top5']:5.1f} %   untrained {untrained['top5']:.1f} %   chance {retrieval['chance_top5']:.1f} %
Few labels, one seed each (five: tools/compare_transfer.py):
{rows}

Look at
  {summary['pictures'][0]}    LiDAR over the picture, coloured by similarity
  {summary['pictures'][1]}   how the losses fell
  {out / 'summary.json'}       these figures
Use
  {summary['encoder']}    the bare image encoder, an mmdet.ResNet
Try next
  {python} tools/train.py configs/{METHOD} \\
      --cfg-options model.detach=after_head
      (an ablation: the point branch does not learn from the pictures)
  configs/simipu/README.md
{'=' * 78}"""  # noqa: E501
    )
