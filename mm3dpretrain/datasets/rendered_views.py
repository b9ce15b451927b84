"""A folder of meshes becomes a training set: pictures, depth, cameras and coloured points.

The library part of ``tools/dataset_converters/render_views.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..structures.cameras import Cameras
from ..version import __version__
from .io import SampleError
from .mesh_io import Mesh, read_mesh, sample_colored, stable_seed
from .model_folder import Model, find_models
from .view_files import (
    DEPTH_LIMIT,
    MILLIMETRES,
    camera_metadata,
    write_frames,
    write_rendering,
    write_text,
)
from .view_settings import DEFAULT_VIEWS, NORMALIZATIONS, Settings, build_views
from .worker_pool import Progress, check_limits, default_workers, run_jobs

MANIFEST = 'render_views.json'
FRAME = '+y up; input turned by (x, y, z) -> (x, z, -y) where it is z up'


# --------------------------------------------------------------------------- one model


@dataclass(frozen=True)
class _Placement:
    """From the frame of rendering (unit sphere at the origin) to others: ``x * scale + center``.

    Attributes:
        to_output: scale and centre that lead to the frame of the files.
        to_input: those that lead from the files to the input, behind the turn of its up axis.
    """

    to_output: tuple[float, np.ndarray]
    to_input: tuple[float, np.ndarray]


def prepare_mesh(mesh: Mesh, up_axis: str, normalize: str) -> tuple[Mesh, _Placement, int]:
    """Turn a mesh to +y up and put what is seen of it into the unit sphere.

    Faces without area are left out, and so are vertices that no other face uses.

    Returns:
        the mesh, where it lies in other frames, and the number of faces left out.

    Raises:
        ValueError: if no face has an area.
    """
    from ..ops.rasterize import face_normals

    if len(mesh.faces) == 0:
        raise ValueError(f'no faces, only {len(mesh.vertices)} vertices: a cloud is not rendered')
    vertices = np.asarray(mesh.vertices, np.float64)
    if up_axis == 'z':
        vertices = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], 1)
    # roughly at first: products of very small numbers would vanish
    middle, size = _box(vertices[np.unique(mesh.faces)])
    _, areas = face_normals((vertices - middle) / (size.max() or 1.0), mesh.faces)
    kept = areas > 0
    if not kept.any():
        raise ValueError(f'none of the {len(kept)} faces has an area')
    used = np.unique(mesh.faces[kept])
    center, size = _box(vertices[used])
    radius = float(np.linalg.norm(vertices[used] - center, axis=1).max())
    renumber = np.zeros(len(vertices), np.int64)
    renumber[used] = np.arange(len(used))

    def pick(values: np.ndarray | None, which: np.ndarray) -> np.ndarray | None:
        return None if values is None else values[which]

    placed = Mesh(
        (vertices[used] - center) / radius,
        renumber[mesh.faces[kept]],
        pick(mesh.face_colors, kept),
        pick(mesh.vertex_colors, used),
        pick(mesh.uv, used),
        mesh.textures,
        pick(mesh.face_texture, kept),
        mesh.warnings,
    )
    origin = np.zeros(3)
    if normalize == 'none':
        placement = _Placement((radius, center), (1.0, origin))
    else:
        scale = radius if normalize == 'unit-sphere' else float(size.max())
        placement = _Placement((radius / scale, origin), (scale, center))
    return placed, placement, int((~kept).sum())


def _box(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = vertices.min(0), vertices.max(0)
    return (low + high) / 2, high - low


def move_cameras(cameras: Cameras, scale: float, center: np.ndarray) -> Cameras:
    """Cameras that see ``x * scale + center`` as the given ones see ``x``; depth x ``scale``."""
    extrinsics = cameras.extrinsics.double().clone()
    rotation = extrinsics[..., :3, :3]
    offset = torch.as_tensor(center, dtype=torch.float64)
    extrinsics[..., :3, 3] = scale * extrinsics[..., :3, 3] - rotation @ offset
    intrinsics = cameras.intrinsics.double().clone()
    if cameras.projection == 'orthographic':
        intrinsics[..., :2, :2] /= scale
    return Cameras(extrinsics, intrinsics, cameras.image_size, cameras.projection)


def render_model(source: Path, out: Path, settings: Settings, model: Model) -> dict:
    """Read one model file and write all its files; its entry in ``models/`` comes last.

    Args:
        source: input folder.
        out: output folder.
        settings: of the set.
        model: which one.

    Returns:
        that entry.

    Raises:
        SampleError: naming the file, if it cannot be read or rendered.
    """
    from ..visualization.shading import render_mesh

    path = source / model.file
    status = path.stat()
    mesh = read_mesh(path)
    try:
        placed, placement, skipped = prepare_mesh(mesh, settings.up_axis, settings.normalize)
        cameras = settings.cameras(model.id)
        views = render_mesh(
            placed.vertices,
            placed.faces,
            cameras,
            background=None,
            supersample=settings.supersample,
            **placed.appearance,
        )
        rng = np.random.default_rng(stable_seed(f'{settings.seed}/points/{model.id}'))
        cloud = sample_colored(placed, settings.num_points, rng)
    except ValueError as error:
        raise SampleError(f'{path}: {error}') from error
    if not views.mask.any():
        raise SampleError(f'{path}: no view sees anything of it')
    scale, center = placement.to_output
    world = move_cameras(cameras, scale, center)
    cloud['points'] = (cloud['points'].astype(np.float64) * scale + center).astype(np.float32)
    depth = views.depth * np.float32(scale)
    far = scale * float((cameras.extrinsics[0, :, 2, 3]).max() + 1)

    stage = out / '.staging' / model.id
    shutil.rmtree(stage, ignore_errors=True)
    moves = []
    entry_path = entry_file(out, model)
    if 'shapenet' in settings.layouts:
        # the next power of ten at which everything fits into 16 bit
        depth_scale = 10.0 ** -np.floor(np.log10(DEPTH_LIMIT / far))
        moves += _write_shapenet(
            stage, model, views, depth, depth_scale, world, center, cloud, settings
        )
    if 'rgbd' in settings.layouts:
        if not 100 < MILLIMETRES * far <= DEPTH_LIMIT:
            raise SampleError(
                f'{path}: depths up to {far:g} do not fit into frames of {MILLIMETRES} counts a '
                'unit: choose another normalisation'
            )
        moves += _write_rgbd(stage, model, views, depth, world, cloud, settings)
    entry = dict(
        id=model.id,
        source=model.file,
        source_size=status.st_size,
        source_mtime_ns=status.st_mtime_ns,
        category=model.category,
        split=model.split,
        vertices=len(mesh.vertices),
        faces=len(mesh.faces),
        faces_without_area=skipped,
        scale=placement.to_input[0],
        center=placement.to_input[1].tolist(),
        warnings=list(mesh.warnings),
    )
    if 'shapenet' in settings.layouts:
        entry['depth_scale'] = depth_scale
    entry_path.unlink(missing_ok=True)
    for name in moves:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(stage / name, target)
    shutil.rmtree(stage, ignore_errors=True)
    write_text(entry_path, json.dumps(entry) + '\n')
    return entry


def _write_shapenet(
    stage: Path, model: Model, views, depth, depth_scale, cameras, target, cloud, settings: Settings
) -> list[Path]:
    rgb = np.where(views.alpha[..., None] > 0, views.rgb, np.uint8(settings.background))
    folder = Path('ShapeNetRendering', model.synset, model.name, 'rendering')
    write_rendering(
        stage / folder,
        np.concatenate([rgb, views.alpha[..., None]], -1),
        cameras,
        camera_metadata(cameras, target),
        depth,
        depth_scale,
    )
    points = Path('ShapeNet55-34', 'shapenet_pc', f'{model.id}.npy')
    attributes = Path('shapenet_attributes', f'{model.id}.npz')
    for name in (points, attributes):
        (stage / name).parent.mkdir(parents=True)
    np.save(stage / points, cloud['points'])
    np.savez_compressed(
        stage / attributes, normal=cloud['normal'].astype(np.float16), rgb=cloud['rgb']
    )
    return [folder, points, attributes]


def _write_rgbd(
    stage: Path, model: Model, views, depth, cameras, cloud, settings: Settings
) -> list[Path]:
    alpha = views.alpha[..., None].astype(np.uint16)
    paper = np.uint16(settings.background)
    rgb = ((views.rgb * alpha + paper * (255 - alpha) + 127) // 255).astype(np.uint8)
    folder = Path('rgbd', model.id)
    write_frames(stage / folder, rgb, depth, cameras)
    np.savez(
        stage / folder / 'points.npz',
        xyz=cloud['points'],
        rgb=cloud['rgb'],
        normal=cloud['normal'],
    )
    return [folder]


def entry_file(out: Path, model: Model) -> Path:
    """Where the finished marker of a model lies: what the set knows about it."""
    return out / 'models' / model.synset / f'{model.name}.json'


# --------------------------------------------------------------------------- the whole set


def render_folder(
    source: str | os.PathLike,
    out: str | os.PathLike,
    settings: Settings,
    workers: int | None = None,
    timeout: float = 300.0,
    max_memory: float = 4.0,
    progress: bool = True,
) -> dict:
    """Turn a folder of meshes into a data set; what a former run has finished is kept.

    A model whose file has changed since, or that failed, is done again. ``failed.txt`` and
    ``warnings.txt`` hold one line for each problem. The files do not depend on ``workers``.

    Args:
        source: see :func:`find_models`.
        out: output folder, made if needed.
        settings: what to write.
        workers: processes; None for one a core.
        timeout: seconds that a model may take.
        max_memory: gigabytes that a process may take.
        progress: print a progress bar with the time left.

    Returns:
        ``dict(out, models, written, failed, warnings, seconds, workers)``; ``failed`` and
        ``warnings`` are lists of (file, text).

    Raises:
        ValueError: if ``out`` holds a set of other settings, or for impossible arguments.
        FileExistsError: if ``out`` has files but no ``render_views.json``.
        FileNotFoundError: if there are no models.
    """
    start = time.perf_counter()
    source, out = Path(source), Path(out)
    workers = default_workers() if workers is None else workers
    check_limits(workers, timeout, max_memory)
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise ValueError(f'the output {out} lies in the input {source}: choose another folder')
    models = find_models(source, settings.test_fraction)
    stored = json.loads(json.dumps(asdict(settings)))
    check_manifest(out, stored)
    _write_json(out / MANIFEST, dict(settings=stored, complete=False))
    shutil.rmtree(out / '.staging', ignore_errors=True)
    entries = {model.id: _finished(source, out, model) for model in models}
    todo = [model for model in models if entries[model.id] is None]
    _warm_up()
    failed: list[tuple[str, str]] = []
    bar = Progress(len(todo)) if progress and todo else None
    work = partial(render_model, source, out, settings)
    for done, outcome in enumerate(run_jobs(work, todo, workers, timeout, max_memory), 1):
        model = outcome.job
        if outcome.error is None:
            entries[model.id] = outcome.value
        else:
            reason = outcome.error.removeprefix(f'{source / model.file}: ')
            failed.append((model.file, reason))
            entry_file(out, model).unlink(missing_ok=True)
        if bar is not None:
            bar.update(done)
    shutil.rmtree(out / '.staging', ignore_errors=True)
    finished = [model for model in models if entries[model.id] is not None]
    problems = [(model.file, line) for model in finished for line in entries[model.id]['warnings']]
    failed.sort()
    _write_report(out / 'failed.txt', failed)
    _write_report(out / 'warnings.txt', problems)
    _write_lists(out, settings, models, finished)
    _write_json(out / MANIFEST, _manifest(stored, models, entries, failed))
    return dict(
        out=str(out),
        models=len(models),
        written=len(todo) - len(failed),
        failed=failed,
        warnings=problems,
        seconds=round(time.perf_counter() - start, 3),
        workers=workers,
    )


def _manifest(stored: dict, models: list[Model], entries: dict, failed: list) -> dict:
    normalization = NORMALIZATIONS[stored['normalize']]
    return dict(
        settings=stored,
        complete=True,
        tool='render_views',
        package_version=__version__,
        frame=FRAME,
        gravity_axis='y',
        normalization=normalization,
        to_input='x_input = x * scale + center, then (x, y, z) -> (x, -z, y) where it is z up',
        depth='uint16 counts x depth_scale (shapenet), or / 1000 (rgbd); 0 is background',
        classes=sorted({model.category for model in models}),
        splits={
            split: sum(m.split == split and entries[m.id] is not None for m in models)
            for split in sorted({model.split for model in models})
        },
        models={model.id: entries[model.id] for model in models if entries[model.id] is not None},
        failed=dict(failed),
    )


def check_manifest(out: Path, stored: dict) -> None:
    """Refuse a folder that holds a set of other settings, or files of which nobody knows.

    Raises:
        ValueError: for other settings, or a manifest that cannot be read.
        FileExistsError: for files without a manifest, or a file in the place of the folder.
    """
    path = out / MANIFEST
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'{out} is no folder: choose another name')
    if not path.is_file():
        if out.is_dir() and any(out.iterdir()):
            raise FileExistsError(
                f'{out} is not empty and has no {MANIFEST}: choose an empty folder'
            )
        return
    try:
        there = json.loads(path.read_text())['settings']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is damaged ({error}): delete {out} or choose another') from error
    keys = [key for key in {**there, **stored} if there.get(key) != stored.get(key)]
    if keys:
        changes = ', '.join(f'{k} {there.get(k)!r} there, {stored.get(k)!r} asked' for k in keys)
        raise ValueError(
            f'{out} holds views of other settings ({changes}): choose another folder, delete this '
            'one, or ask for the same'
        )


def _finished(source: Path, out: Path, model: Model) -> dict | None:
    """The entry of a model that was made from the file as it is now, or None."""
    try:
        entry = json.loads(entry_file(out, model).read_text())
        status = (source / model.file).stat()
    except (OSError, ValueError):
        return None
    same = (entry['source'], entry['source_size'], entry['source_mtime_ns'], entry['split']) == (
        model.file,
        status.st_size,
        status.st_mtime_ns,
        model.split,
    )
    return entry if same else None


def _warm_up() -> None:
    """Compile the kernels once, before the worker processes are forked."""
    from ..visualization.shading import render_mesh

    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    cameras = build_views(DEFAULT_VIEWS, (4, 4))(None).select_views(0)
    render_mesh(mesh.vertices, mesh.faces, cameras)
    sample_colored(mesh, 1, np.random.default_rng(0))


def _write_json(path: Path, content: dict | list) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def _write_report(path: Path, lines: list[tuple[str, str]]) -> None:
    if lines:
        write_text(path, ''.join(f'{file}: {text}\n' for file, text in lines))
    else:
        path.unlink(missing_ok=True)


def _write_lists(out: Path, settings: Settings, models: list[Model], finished: list[Model]) -> None:
    for split in sorted({model.split for model in models}):
        ids = sorted(model.id for model in finished if model.split == split)
        if 'shapenet' in settings.layouts:
            path = out / 'ShapeNet55-34' / 'ShapeNet-55' / f'{split}.txt'
            write_text(path, ''.join(f'{name}.npy\n' for name in ids))
        if 'rgbd' in settings.layouts:
            write_text(out / 'rgbd' / f'{split}.txt', ''.join(f'{name}\n' for name in ids))
    names = {model.synset: model.category for model in models}
    taxonomy = [dict(synsetId=synset, name=names[synset]) for synset in sorted(names)]
    _write_json(out / 'taxonomy.json', taxonomy)
