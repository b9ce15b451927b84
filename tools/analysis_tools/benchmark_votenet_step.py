"""Time training steps of mmdet3d's VoteNet, as its config has it, without a GPU.

8 scenes of 20,000 random points with 12 boxes each; forward, backward and the optimiser's step. The
first step compiles the kernels and is not counted.

    python tools/analysis_tools/benchmark_votenet_step.py --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

CONFIG = 'mmdet3d::votenet/votenet_8xb8_scannet-3d.py'
NUM_CLASSES, NUM_BOXES = 18, 12


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--steps', type=int, default=5, help='timed steps (default: 5)')
    parser.add_argument('--batch', type=int, default=8, help='scenes of a step (default: 8)')
    parser.add_argument('--points', type=int, default=20000, help='of a scene (default: 20000)')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = parser.parse_args(argv)
    if min(args.steps, args.batch, args.points, args.threads) < 1:
        parser.error('--steps, --batch, --points and --threads must be at least 1')
    return args


def scenes(batch: int, points: int) -> dict:
    """Random scenes as mmdet3d's loader packs them."""
    from mmdet3d.structures import DepthInstance3DBoxes, Det3DDataSample, PointData
    from mmengine.structures import InstanceData

    clouds, samples = [], []
    for _ in range(batch):
        clouds.append(torch.rand(points, 4) * torch.tensor([8.0, 8.0, 3.0, 3.0]))
        center = torch.rand(NUM_BOXES, 3) * torch.tensor([8.0, 8.0, 2.0])
        boxes = torch.cat([center, 0.5 + torch.rand(NUM_BOXES, 3), torch.zeros(NUM_BOXES, 1)], 1)
        sample = Det3DDataSample()
        sample.set_metainfo(dict(box_type_3d=DepthInstance3DBoxes))
        sample.gt_instances_3d = InstanceData(
            bboxes_3d=DepthInstance3DBoxes(boxes, origin=(0.5, 0.5, 0.5)),
            labels_3d=torch.randint(NUM_CLASSES, (NUM_BOXES,)),
        )
        sample.gt_pts_seg = PointData(
            pts_semantic_mask=torch.randint(NUM_CLASSES, (points,)),
            pts_instance_mask=torch.randint(NUM_BOXES, (points,)),
        )
        samples.append(sample)
    return dict(inputs=dict(points=clouds), data_samples=samples)


def main(argv: list[str] | None = None) -> int:
    """Print the median and the fastest step in seconds."""
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    from mm3dpretrain.compat import require

    try:
        registry = require('mmdet3d.registry', 'det3d', 'this benchmark')
    except ImportError as error:
        print(error, file=sys.stderr)
        return 1
    from mmengine.hub import get_config

    from mm3dpretrain.utils import prepare_runtime

    torch.manual_seed(0)
    cfg = prepare_runtime(get_config(CONFIG))
    model = registry.MODELS.build(cfg.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = scenes(args.batch, args.points)
    seconds = []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        data = model.data_preprocessor(batch, True)
        loss, _ = model.parse_losses(model(**data, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    seconds = seconds[1:]
    print(
        f'VoteNet, {args.batch} x {args.points} points, {args.threads} threads: median '
        f'{statistics.median(seconds):.2f} s, fastest {min(seconds):.2f} s'
    )
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
