"""Time and memory of ranking a gallery: what RetrievalMetric costs for one direction.

    python tools/analysis_tools/benchmark_retrieval.py --gallery 100000 --queries 5000 --threads 2

All queries cost the same, so that fewer of them stand for as many as the gallery has; the line says
what was measured and what is extrapolated.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.nn import functional as F

from mm3dpretrain.evaluation import first_ranks


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--gallery', type=int, default=100_000, help='items (%(default)s)')
    parser.add_argument('--queries', type=int, default=2_000, help='queries (%(default)s)')
    parser.add_argument('--dim', type=int, default=512, help='of the embeddings (%(default)s)')
    parser.add_argument('--threads', type=int, help='of torch (default: all cores)')
    parser.add_argument('--device', default='cpu', help='such as cuda:0 (default: %(default)s)')
    args = parser.parse_args(argv)
    if not 1 <= args.queries <= args.gallery or args.dim < 1:
        parser.error('need 1 <= --queries <= --gallery and --dim >= 1')
    if args.threads:
        torch.set_num_threads(args.threads)
    gallery = F.normalize(torch.randn(args.gallery, args.dim), dim=1).to(args.device)
    queries = gallery[: args.queries]
    pairs = torch.arange(args.queries)[:, None].expand(args.queries, 2)
    first_ranks(queries[:10], gallery, pairs[:10])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    _, ranks = first_ranks(queries, gallery, pairs)
    ranks.sum().item()  # waits for the device
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1e3
    factor = args.gallery / args.queries
    print(
        f'{args.queries} of {args.gallery} queries, {args.dim} dimensions, {args.device}: '
        f'{wall:.1f} s, {cpu:.1f} s of processor time; all: {wall * factor:.0f} s and '
        f'{cpu * factor:.0f} s (extrapolated); peak memory grew by {grown:.0f} MB'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
