"""Time the renderers against their twins and every installed peer.

A pass of points renders depth, mask and three feature channels and sends gradients back to points
and features. One of meshes renders depth, normals and colours of a torus, without and with
gradients to vertices and colours. All contestants of a case take turns, so that a busy machine
slows all of them alike: read the ratios. The first pass, which compiles or loads, is not timed.

Examples::

    python tools/analysis_tools/benchmark_render.py
    python tools/analysis_tools/benchmark_render.py --repeats 20 --json render.json
    python tools/analysis_tools/benchmark_render.py --device cuda
    python tools/analysis_tools/benchmark_render.py --what meshes --cases 1 2
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# clouds, points, views, side of the picture, radius in pixels
CASES = (
    (8, 2048, 4, 224, 3.0),
    (8, 2048, 1, 224, 3.0),
    (8, 2048, 1, 224, 5.0),
    (8, 1024, 1, 64, 3.0),
    (1, 32, 1, 16, 2.0),
)
# rings and segments of the torus (twice their product is its number of faces), views, side
MESH_CASES = ((80, 128, 1, 224), (80, 128, 12, 224), (20, 32, 4, 64), (4, 6, 1, 16))
# The naive twin needs half a second for the last case already.
NAIVE_LIMIT = 32 * 16 * 16
# A contestant gets fewer turns than asked for if they would take longer than this.
SECONDS = 10


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--what', choices=('points', 'meshes'), default='points',
                        help='which renderer')  # fmt: skip
    parser.add_argument('--cases', type=int, nargs='+', help='numbers of the cases, from 1')
    parser.add_argument('--repeats', type=int, default=9, help='turns of each contestant')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads of everybody')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    args = parser.parse_args(argv)
    if args.repeats < 1 or args.threads < 1:
        parser.error('--repeats and --threads must be at least 1')
    number = len(CASES if args.what == 'points' else MESH_CASES)
    args.cases = args.cases or list(range(1, number + 1))
    if not all(1 <= case <= number for case in args.cases):
        parser.error(f'--cases of {args.what} go from 1 to {number}, got {args.cases}')
    return args


def scene(clouds: int, points: int, device: str):
    """Points (B, N, 3) on unit spheres and features (B, N, 3), both with gradients."""
    import torch

    generator = torch.Generator().manual_seed(0)
    xyz = torch.randn(clouds, points, 3, generator=generator)
    xyz = torch.nn.functional.normalize(xyz, dim=-1).to(device).requires_grad_()
    features = torch.rand(clouds, points, 3, generator=generator).to(device).requires_grad_()
    return xyz, features


def contestants(case: tuple, device: str) -> dict[str, Callable]:
    """A forward and backward pass of everybody who can run the case."""
    from mm3dpretrain.models.renderers import PointSplatRenderer, cube_corner_views

    clouds, points, views, side, radius = case
    xyz, features = scene(clouds, points, device)
    cameras = cube_corner_views(side).select_views(list(range(views))).to(device)

    def run(renderer) -> None:
        xyz.grad = features.grad = None
        output = renderer(xyz, cameras, features)
        (output.depth.mean() + output.mask.mean() + output.features.mean()).backward()

    runs = {}
    for kernel in ('cosine', 'quadratic', 'gaussian'):
        ours = PointSplatRenderer(radius, kernel=kernel)
        runs[f'ours, {kernel}'] = lambda r=ours: run(r)
    maximum = PointSplatRenderer(radius, compositing='max')
    runs['ours, maximum compositing'] = lambda: run(maximum)
    if device == 'cpu':
        plain = PointSplatRenderer(radius, backend='torch')
        runs['ours, plain torch'] = lambda: run(plain)
    if clouds * views * points * side * side <= NAIVE_LIMIT:
        naive = PointSplatRenderer(radius, backend='naive')
        runs['naive twin'] = lambda: run(naive)
    peer = pytorch3d_pass(xyz, features, cameras, radius)
    if peer is not None:
        runs['pytorch3d, 8 points a pixel'] = peer
    return runs


def pytorch3d_pass(xyz, features, cameras, radius: float) -> Callable | None:
    """PyTorch3D's point rasteriser with alpha compositing, orthographic; None if not installed."""
    try:
        renderer = importlib.import_module('pytorch3d.renderer')
        pointclouds = importlib.import_module('pytorch3d.structures').Pointclouds
    except Exception:  # a broken extension may raise anything
        return None
    import torch

    clouds, views, side = len(xyz), cameras.num_views, cameras.image_size[0]
    # its cameras are x left, y up and multiply row vectors; scale 1 is ours
    flip = torch.tensor([-1.0, -1.0, 1.0], device=xyz.device)
    rotation = (cameras.extrinsics[0, :, :3, :3] * flip[:, None]).mT.repeat(clouds, 1, 1)
    translation = (cameras.extrinsics[0, :, :3, 3] * flip).repeat(clouds, 1)
    peer_cameras = renderer.FoVOrthographicCameras(
        R=rotation, T=translation, device=xyz.device, znear=0.1, zfar=10.0
    )
    settings = renderer.PointsRasterizationSettings(
        image_size=side, radius=2 * radius / side, points_per_pixel=8
    )
    rasterize = renderer.PointsRasterizer(cameras=peer_cameras, raster_settings=settings)
    composite = renderer.AlphaCompositor()

    def run() -> None:
        xyz.grad = features.grad = None
        batch = pointclouds(
            points=xyz.repeat_interleave(views, 0), features=features.repeat_interleave(views, 0)
        )
        fragments = rasterize(batch)
        weights = 1 - fragments.dists.permute(0, 3, 1, 2) / settings.radius**2
        index = fragments.idx.long().permute(0, 3, 1, 2)
        image = composite(index, weights, batch.features_packed().T)
        depth = fragments.zbuf[..., 0].clamp(min=0)
        (image.mean() + depth.mean()).backward()

    return run


def torus(rings: int, segments: int, device: str):
    """Vertices (P, 3) of half extent 1, their colours (P, 3) and faces (F, 3)."""
    import torch

    a = torch.arange(segments) * (2 * torch.pi / segments)
    b = torch.arange(rings)[:, None] * (2 * torch.pi / rings)
    radius = 0.7 + 0.3 * b.cos()
    vertices = torch.stack(
        [radius * a.cos(), 0.3 * b.sin().expand_as(radius * a), radius * a.sin()], -1
    )
    index = torch.arange(rings * segments).reshape(rings, segments)
    right, up = index.roll(-1, 1), index.roll(-1, 0)
    over = up.roll(-1, 1)
    faces = torch.stack([torch.stack([index, up, over], -1), torch.stack([index, over, right], -1)])
    vertices = vertices.reshape(-1, 3).to(device)
    return vertices, 0.5 + 0.5 * vertices, faces.reshape(-1, 3).to(device)


def mesh_contestants(case: tuple, device: str) -> dict[str, Callable]:
    """Passes of everybody who can render the torus."""
    import torch

    from mm3dpretrain.models.renderers import MeshRenderer, orbit_views
    from mm3dpretrain.structures import Meshes

    rings, segments, views, side = case
    vertices, colors, faces = torus(rings, segments, device)
    cameras = orbit_views(views, image_size=side, elevation=35.0).to(device)

    def run(renderer, backward: bool) -> None:
        leaves = [t.detach().requires_grad_(backward) for t in (vertices, colors)]
        meshes = Meshes(leaves[0][None], faces[None])
        features = torch.cat([meshes.vertex_normals(), leaves[1][None]], -1)
        output = renderer(meshes, cameras, features)
        if backward:
            (output.depth.mean() + output.mask.mean() + output.features.mean()).backward()

    ours = MeshRenderer(near=0.5, far=6.0)
    soft = MeshRenderer(near=0.5, far=6.0, silhouette={})
    runs = {
        'ours, forward': lambda: run(ours, False),
        'ours, forward and backward': lambda: run(ours, True),
        'the same, soft silhouette': lambda: run(soft, True),
    }
    if device == 'cpu':
        plain = MeshRenderer(near=0.5, far=6.0, backend='torch')
        runs['plain torch, forward'] = lambda: run(plain, False)
        runs['plain torch, both'] = lambda: run(plain, True)
    if 2 * rings * segments * views * side * side <= 2 * NAIVE_LIMIT:
        naive = MeshRenderer(near=0.5, far=6.0, backend='naive')
        runs['naive twin, forward'] = lambda: run(naive, False)
    peer = pytorch3d_mesh_pass(vertices, colors, faces, cameras)
    if peer is not None:
        runs['pytorch3d, forward'] = lambda: peer(False)
        runs['pytorch3d, both'] = lambda: peer(True)
    kaolin = kaolin_renderer()
    if kaolin is not None and device != 'cpu':
        runs['kaolin, forward'] = lambda: run(kaolin, False)
        runs['kaolin, both'] = lambda: run(kaolin, True)
    return runs


def kaolin_renderer():
    """Kaolin's rasteriser behind our interface, or None if it cannot be had."""
    from mm3dpretrain.models.renderers import KaolinMeshRenderer

    try:
        return KaolinMeshRenderer(near=0.5, far=6.0)
    except ImportError:
        return None


def pytorch3d_mesh_pass(vertices, colors, faces, cameras) -> Callable | None:
    """PyTorch3D's mesh rasteriser, one face a pixel, with attributes; None if not installed."""
    try:
        renderer = importlib.import_module('pytorch3d.renderer')
        utils = importlib.import_module('pytorch3d.utils')
        ops = importlib.import_module('pytorch3d.ops')
        structures = importlib.import_module('pytorch3d.structures')
    except Exception:  # a broken extension may raise anything
        return None
    import torch

    views, (height, width) = cameras.num_views, cameras.image_size
    extrinsics = cameras.extrinsics[0]
    peer_cameras = utils.cameras_from_opencv_projection(
        extrinsics[:, :3, :3],
        extrinsics[:, :3, 3],
        cameras.intrinsics[0],
        torch.tensor([[height, width]], device=vertices.device).expand(views, 2),
    )
    settings = renderer.RasterizationSettings(image_size=(height, width), faces_per_pixel=1)
    rasterize = renderer.MeshRasterizer(cameras=peer_cameras, raster_settings=settings)

    def run(backward: bool) -> None:
        leaves = [t.detach().requires_grad_(backward) for t in (vertices, colors)]
        meshes = structures.Meshes([leaves[0]], [faces])
        values = torch.cat([meshes.verts_normals_packed(), leaves[1]], -1)[faces]
        fragments = rasterize(meshes.extend(views))
        image = ops.interpolate_face_attributes(
            fragments.pix_to_face, fragments.bary_coords, values.repeat(views, 1, 1)
        )
        if backward:
            (image.mean() + fragments.zbuf.clamp(min=0).mean()).backward()

    return run


def take_turns(runs: dict[str, Callable], repeats: int, device: str) -> dict[str, dict]:
    """Median and minimum in ms of every contestant, interleaved; slow ones skip turns."""
    import torch

    wait = torch.cuda.synchronize if device.startswith('cuda') else (lambda: None)
    turns, times = {}, {name: [] for name in runs}
    for name, run in runs.items():
        run()
        wait()
        start = time.perf_counter()
        run()
        wait()
        turns[name] = max(1, min(repeats, int(SECONDS / (time.perf_counter() - start))))
    for turn in range(repeats):
        for name, run in runs.items():
            if turn >= turns[name]:
                continue
            start = time.perf_counter()
            run()
            wait()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {
        name: dict(median_ms=statistics.median(t), min_ms=min(t), turns=len(t))
        for name, t in times.items()
    }


def main(argv: list[str] | None = None) -> int:
    """Run the cases, print a table, write the figures. Returns the exit code."""
    args = parse_args(argv)
    import torch

    if args.device.startswith('cuda') and not torch.cuda.is_available():
        print('error: --device cuda, but torch sees no CUDA device', file=sys.stderr)
        return 1
    torch.set_num_threads(args.threads)
    report = dict(
        what=args.what, device=args.device, threads=args.threads, torch=torch.__version__, cases=[]
    )
    for number in args.cases:
        if args.what == 'points':
            clouds, points, views, side, radius = case = CASES[number - 1]
            name = f'{clouds} x {points} points, radius {radius:g} px, forward and backward'
            runs = contestants(case, args.device)
        else:
            rings, segments, views, side = case = MESH_CASES[number - 1]
            name = f'{2 * rings * segments} faces'
            runs = mesh_contestants(case, args.device)
        name += f', {views} views of {side} x {side}'
        print(f'\n{name}', flush=True)
        results = take_turns(runs, args.repeats, args.device)
        ours = next(iter(results.values()))['median_ms']
        for contestant, figures in results.items():
            figures['ratio'] = figures['median_ms'] / ours
            print(
                f'  {contestant:30s} median {figures["median_ms"]:9.2f} ms   '
                f'min {figures["min_ms"]:9.2f} ms   {figures["ratio"]:7.2f} x',
                flush=True,
            )
        report['cases'].append(dict(name=name, results=results))
    if args.json:
        from mm3dpretrain.datasets.io import atomic_path

        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
