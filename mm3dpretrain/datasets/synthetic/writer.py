"""Write synthetic shapes in the layouts of ShapeNet, ShapeNetRendering and ModelNet."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import numpy as np

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.datasets.synthetic.shapes import (
    GENERATOR_VERSION,
    SyntheticShape,
    SyntheticShapes,
)
from mm3dpretrain.datasets.synthetic.views import metadata_cameras, random_metadata
from mm3dpretrain.datasets.view_files import write_rendering
from mm3dpretrain.datasets.view_files import write_text as _write_text
from mm3dpretrain.datasets.worker_pool import Progress, default_workers, start_worker

LAYOUTS = ('shapenet', 'modelnet')
MANIFEST = 'synthetic.json'
CHUNK = 4  # shapes that a worker process takes at once
VIEW_STREAM = 2  # random numbers of the views; 0 and 1 are those of the shape and its points


@dataclass(frozen=True)
class Parameters:
    """All that determines what is in the files; stored in ``synthetic.json``.

    See :func:`write_synthetic_shapes` for the meaning.
    """

    version: int
    seed: int
    categories: tuple[str, ...]
    train_per_class: int
    test_per_class: int
    views: int
    image_size: int
    num_points: int
    jitter: float
    rotation: str
    layouts: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.layouts) - set(LAYOUTS))
        if unknown or not self.layouts:
            raise ValueError(f'layouts must be of {LAYOUTS}, got {list(self.layouts)}')
        for name, lowest in dict(
            train_per_class=0, test_per_class=0, views=0, image_size=1, num_points=1
        ).items():
            if getattr(self, name) < lowest:
                raise ValueError(f'{name} must be at least {lowest}, got {getattr(self, name)}')
        if self.train_per_class + self.test_per_class == 0:
            raise ValueError('train_per_class and test_per_class are both 0: nothing to write')
        if self.jitter < 0:
            raise ValueError(f'jitter must be >= 0, got {self.jitter}')


@dataclass(frozen=True)
class Job:
    """One shape: the ``number``-th of a split of a category."""

    category: str
    split: str
    number: int

    @property
    def index(self) -> int:
        """Even for training, odd for test shapes: neither depends on how many there are."""
        return 2 * self.number + (self.split == 'test')


def _jobs(p: Parameters) -> list[Job]:
    counts = {'train': p.train_per_class, 'test': p.test_per_class}
    return [
        Job(category, split, number)
        for split, count in counts.items()
        for number in range(count)
        for category in p.categories
    ]


# --------------------------------------------------------------------------- files


def off_text(shape: SyntheticShape) -> str:
    """The mesh as an OFF file in ModelNet's frame: +z up, so (x, y, z) becomes (x, -z, y)."""
    lines = ['OFF', f'{len(shape.vertices)} {len(shape.faces)} 0']
    lines += [f'{x:.6f} {-z:.6f} {y:.6f}' for x, y, z in shape.vertices.tolist()]
    lines += [f'3 {a} {b} {c}' for a, b, c in shape.faces.tolist()]
    return '\n'.join(lines) + '\n'


def _paths(root: Path, p: Parameters, job: Job, shape_id: str) -> dict[str, Path]:
    """Files of one shape; ``views`` is the last one written of its folder."""
    synset, _, model_id = shape_id.partition('-')
    paths = {}
    if 'shapenet' in p.layouts:
        paths['points'] = root / 'ShapeNet55-34' / 'shapenet_pc' / f'{shape_id}.npy'
        paths['attributes'] = root / 'shapenet_attributes' / f'{shape_id}.npz'
        if p.views:
            folder = root / 'ShapeNetRendering' / synset / model_id / 'rendering'
            paths['views'] = folder / 'renderings.txt'
    if 'modelnet' in p.layouts:
        number = job.number + 1 + (p.train_per_class if job.split == 'test' else 0)
        name = f'{job.category}_{number:04d}.off'
        paths['mesh'] = root / 'ModelNet' / job.category / job.split / name
    return paths


def _write_views(path: Path, p: Parameters, shape: SyntheticShape, rng) -> None:
    # the visualisation package reaches for the models: only what draws pays for that
    from mm3dpretrain.visualization.shading import render_mesh

    metadata = random_metadata(rng, p.views)
    cameras = metadata_cameras(metadata, p.image_size)
    pictures = render_mesh(shape.vertices, shape.faces, cameras, shape.face_color, background=None)
    rgba = np.concatenate([pictures.rgb, pictures.alpha[..., None]], -1)
    write_rendering(path.parent, rgba, cameras, metadata)


def _write_shape(root: Path, p: Parameters, job: Job) -> tuple[str, tuple[str, ...], bool]:
    """Write the files of a shape that are missing; returns its id, captions, anything written."""
    generator = SyntheticShapes(p.seed, p.rotation)
    shape = generator.generate(job.category, job.index)
    missing = {
        kind: path
        for kind, path in _paths(root, p, job, shape.sample_id).items()
        if not path.is_file()
    }
    if 'points' in missing or 'attributes' in missing:
        cloud = generator.sample(shape, job.index, p.num_points, p.jitter)
        if 'attributes' in missing:
            with atomic_path(missing['attributes']) as temporary:
                np.savez_compressed(
                    temporary,
                    normal=cloud.normals.astype(np.float16),
                    rgb=cloud.rgb,
                    part=cloud.part,
                )
        if 'points' in missing:
            with atomic_path(missing['points']) as temporary:
                np.save(temporary, cloud.points)
    if 'views' in missing:
        rng = generator.rng(job.category, job.index, VIEW_STREAM)
        _write_views(missing['views'], p, shape, rng)
    if 'mesh' in missing:
        _write_text(missing['mesh'], off_text(shape))
    return shape.sample_id, shape.captions, bool(missing)


def _write_chunk(root: Path, p: Parameters, jobs: list[Job]) -> list[tuple]:
    return [_write_shape(root, p, job) for job in jobs]


# --------------------------------------------------------------------------- the whole set


def _run(root: Path, p: Parameters, jobs: list[Job], workers: int) -> Iterator[list[tuple]]:
    chunks = [jobs[k : k + CHUNK] for k in range(0, len(jobs), CHUNK)]
    if workers < 2 or len(chunks) < 2:
        yield from (_write_chunk(root, p, chunk) for chunk in chunks)
        return
    # fork starts at once and asks no main-guard of the caller's script
    method = 'fork' if 'fork' in get_all_start_methods() else 'spawn'
    pool = ProcessPoolExecutor(workers, get_context(method), start_worker, (os.getpid(),))
    try:
        futures = [pool.submit(_write_chunk, root, p, chunk) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _check_manifest(root: Path, p: Parameters) -> None:
    """Refuse a folder that holds another set, or files of which nobody knows."""
    path = root / MANIFEST
    wanted = json.loads(json.dumps(asdict(p)))
    if not path.is_file():
        if root.is_dir() and any(root.iterdir()):
            raise FileExistsError(
                f'{root} is not empty and has no {MANIFEST}: choose an empty folder'
            )
        return
    try:
        stored = json.loads(path.read_text())['parameters']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is damaged ({error}): delete {root} or choose another') from error
    keys = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key)]
    if keys:
        changes = ', '.join(f'{k} {stored.get(k)!r} there, {wanted.get(k)!r} asked' for k in keys)
        raise ValueError(
            f'{root} holds synthetic shapes of other parameters ({changes}): '
            'choose another folder, delete this one, or ask for the same'
        )


def _write_lists(root: Path, p: Parameters, jobs: list[Job], captions: dict) -> None:
    generator = SyntheticShapes(p.seed, p.rotation)
    ids = {
        job: f'{generator.category(job.category).synset}-{generator.model_id(job.index)}'
        for job in jobs
    }
    if 'shapenet' in p.layouts:
        for split in ('train', 'test'):
            names = sorted(f'{ids[job]}.npy\n' for job in jobs if job.split == split)
            _write_text(root / 'ShapeNet55-34' / 'ShapeNet-55' / f'{split}.txt', ''.join(names))
    taxonomy = []
    for name in p.categories:
        category = generator.category(name)
        taxonomy.append(
            dict(
                synsetId=category.synset,
                name=','.join((name, *category.synonyms)),
                synthetic=True,
                parts=list(category.parts),
                part_offset=generator.part_offset(name),
            )
        )
    _write_text(root / 'taxonomy.json', json.dumps(taxonomy, indent=1) + '\n')
    ordered = {ids[job]: list(captions[ids[job]]) for job in jobs}
    _write_text(root / 'captions.json', json.dumps(ordered, indent=0, sort_keys=True) + '\n')


def write_synthetic_shapes(
    out: str | os.PathLike,
    train_per_class: int = 60,
    test_per_class: int = 20,
    categories: Sequence[str] | None = None,
    views: int = 4,
    image_size: int = 64,
    seed: int = 0,
    num_points: int = 8192,
    jitter: float = 0.0,
    rotation: str = 'yaw',
    layouts: Sequence[str] = LAYOUTS,
    workers: int | None = None,
    progress: bool = True,
) -> dict:
    """Write a synthetic data set; what a former run has written is kept.

    'shapenet' writes ``ShapeNet55-34/``, ``ShapeNetRendering/`` and ``shapenet_attributes/``
    (normal, colour and part of every point), +y up in the unit sphere; 'modelnet' writes
    ``ModelNet/<class>/{train,test}/*.off``, +z up. ``taxonomy.json``, ``captions.json`` and
    ``synthetic.json`` (the parameters) lie beside them. Synset ids begin with 9: they are none of
    ShapeNet's. The files depend on the parameters alone, not on ``workers``.

    Args:
        out: folder; made if needed.
        train_per_class: training shapes of each category.
        test_per_class: test shapes of each category, never among the training ones.
        categories: names, or None for all.
        views: pictures of each shape; 0 for none.
        image_size: side of the pictures in pixels.
        seed: of everything random.
        num_points: points of each cloud.
        jitter: standard deviation of noise on the points, unit of the shape.
        rotation: 'none', 'yaw' or 'so3', of each whole shape.
        layouts: of 'shapenet' and 'modelnet'.
        workers: processes; None for one a core that this process may use.
        progress: print a progress bar with the time left.

    Returns:
        ``dict(out, shapes, written, seconds, workers, parameters)``; ``written`` counts the
        shapes of which files were missing.

    Raises:
        ValueError: for impossible parameters, or a folder that holds a set of other ones.
        FileExistsError: if the folder has files but no ``synthetic.json``.
    """
    start = time.perf_counter()
    root = Path(out)
    generator = SyntheticShapes(seed, rotation)
    names = tuple(dict.fromkeys(categories)) if categories else generator.categories
    for name in names:
        generator.category(name)
    p = Parameters(
        version=GENERATOR_VERSION,
        seed=int(seed),
        categories=names,
        train_per_class=train_per_class,
        test_per_class=test_per_class,
        views=views,
        image_size=image_size,
        num_points=num_points,
        jitter=float(jitter),
        rotation=rotation,
        layouts=tuple(name for name in LAYOUTS if name in layouts)
        + tuple(name for name in layouts if name not in LAYOUTS),
    )
    _check_manifest(root, p)
    if workers is None:
        workers = default_workers()
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}')
    parameters = asdict(p)
    jobs = _jobs(p)
    summary = dict(out=str(root), shapes=len(jobs), written=0, seconds=0.0, workers=workers)
    summary['parameters'] = parameters
    manifest = root / MANIFEST
    if manifest.is_file() and json.loads(manifest.read_text()).get('complete'):
        return summary
    for leftover in root.rglob('.*.tmp*'):  # half-written files of a run that was killed
        leftover.unlink()
    _write_text(manifest, json.dumps(dict(parameters=parameters, complete=False), indent=1) + '\n')

    if views:
        _warm_up()
    captions: dict[str, tuple[str, ...]] = {}
    bar = Progress(len(jobs)) if progress else None
    for results in _run(root, p, jobs, workers):
        for sample_id, sentences, written in results:
            captions[sample_id] = sentences
            summary['written'] += written
        if bar is not None:
            bar.update(len(captions))
    _write_lists(root, p, jobs, captions)
    _write_text(manifest, json.dumps(dict(parameters=parameters, complete=True), indent=1) + '\n')
    summary['seconds'] = round(time.perf_counter() - start, 3)
    return summary


def _warm_up() -> None:
    """Compile the rasteriser once, before the worker processes are forked."""
    from mm3dpretrain.visualization.shading import render_mesh

    cameras = metadata_cameras(np.array([[0.0, 0.0, 0.0, 3.0, 40.0]]), 4)
    render_mesh(np.eye(3), np.array([[0, 1, 2]]), cameras)
