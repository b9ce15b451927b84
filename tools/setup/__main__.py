"""``python3.11 -m tools.setup``: bring ``.venv`` up to date, or say in one line why not."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

from .checks import SetupError, explain
from .steps import Setup

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Set up.

    Returns:
        0, or 1 where something is missing, or 130 when stopped.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if Setup(ROOT).is_complete():
            return 0
        state = ROOT / '.setup'
        state.mkdir(exist_ok=True)
        with open(state / 'lock', 'w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print('waiting for another set-up of this checkout to end', flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            setup = Setup(ROOT, lock=lock.fileno())
            if not setup.is_complete():
                setup.run()
    except SetupError as error:
        print(f'setup: error: {error}', file=sys.stderr)
        return 1
    except OSError as error:
        where = f' ({error.filename})' if error.filename else ''
        print(f'setup: error: {explain(os.strerror(error.errno or 0))}{where}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nsetup: stopped; the same command goes on from here', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
