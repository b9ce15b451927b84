"""Write frames of ScanNet's .sens files as pictures, depth and poses.

    python tools/dataset_converters/export_scannet_frames.py scannet/scans data/scannet_frames
    python tools/dataset_converters/export_scannet_frames.py scannet/scans data/scannet_frames \\
        --every 25 --workers 8 --lists scannet/scannetv2_train.txt scannet/scannetv2_val.txt

The source has <scene>/<scene>.sens. Every scan goes to <out>/scans/<scene>/{color,depth,pose,
intrinsic}, which ScanNetFrames reads. A scan is renamed to its place when it is complete: the same
command goes on where it was stopped. A broken or truncated file is one line, and the others go on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mm3dpretrain.datasets.sens_io import export_scan
from mm3dpretrain.datasets.worker_pool import Progress, default_workers, run_jobs

MESH = '{}_vh_clean_2.ply'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='folder with <scene>/<scene>.sens')
    parser.add_argument('out', type=Path, help='folder, made if needed')
    parser.add_argument('--every', type=int, default=25, help='keep every so-manieth frame (25)')
    parser.add_argument('--scenes', nargs='+', help='names; default all in the source')
    parser.add_argument(
        '--lists', type=Path, nargs='+', default=[], help='lists of scans to copy to <out>/splits'
    )
    parser.add_argument('--meshes', action='store_true', help=f'copy {MESH.format("<scene>")} too')
    parser.add_argument('--workers', type=int, help='processes; one a core unless given')
    parser.add_argument('--timeout', type=float, default=3600, help='seconds for a scan (3600)')
    return parser.parse_args(argv)


def export(scene: str, source: Path, out: Path, every: int, meshes: bool) -> int:
    """One scan; the number of its frames."""
    folder = out / 'scans' / scene
    count = export_scan(source / scene / f'{scene}.sens', folder, every)
    mesh = source / scene / MESH.format(scene)
    if meshes and not (folder / mesh.name).is_file():
        shutil.copyfile(mesh, folder / mesh.name)
    return count


def main(argv: list[str] | None = None) -> int:
    """Export; 1 if a scan failed or there is none."""
    args = parse_args(argv)
    scenes = args.scenes or sorted(
        p.parent.name for p in args.source.glob('*/*.sens') if p.stem == p.parent.name
    )
    workers = default_workers() if args.workers is None else args.workers
    error = None
    if args.every < 1 or workers < 1 or not args.timeout > 0:
        error = 'every, workers and timeout must be positive'
    elif not scenes:
        error = f'no <scene>/<scene>.sens in {args.source}'
    else:
        error = next((f'no list {path}' for path in args.lists if not path.is_file()), None)
    if error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    function = partial(
        export, source=args.source, out=args.out, every=args.every, meshes=args.meshes
    )
    progress, frames, failed = Progress(len(scenes)), 0, []
    try:
        for done, outcome in enumerate(
            run_jobs(function, scenes, workers, timeout=args.timeout), start=1
        ):
            if outcome.error is None:
                frames += outcome.value
            else:
                failed.append(outcome.job)
                print(f'\n{outcome.job} is left out: {outcome.error}', file=sys.stderr)
            progress.update(done)
        for path in args.lists:
            (args.out / 'splits').mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, args.out / 'splits' / path.name)
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here', file=sys.stderr)
        return 130
    except OSError as problem:
        print(f'error: {problem}', file=sys.stderr)
        return 1
    done = len(scenes) - len(failed)
    print(f'{args.out}: {frames} frames of {done} scans, {len(failed)} scans left out')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
