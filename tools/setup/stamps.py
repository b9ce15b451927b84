"""Which steps are done: one small file a step, holding the fingerprint of what went into it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path


def fingerprint(*inputs: str | Path) -> str:
    """Hash of texts and of the contents of files; the Python version always counts.

    Args:
        inputs: A text stands for itself, a path for the bytes of its file.
    """
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for item in inputs:
        data = item.read_bytes() if isinstance(item, Path) else item.encode()
        digest.update(len(data).to_bytes(8, 'little') + data)
    return digest.hexdigest()


class Stamps:
    """Notes of finished steps in one folder.

    Args:
        folder: Inside the environment, so that the notes vanish with it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_done(self, step: str, wanted: str) -> bool:
        """Whether a step was finished with these inputs."""
        try:
            return (self.folder / step).read_text() == wanted
        except OSError:
            return False

    def done(self, step: str, reached: str) -> None:
        """Note that a step is finished; the note is written whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f'.{step}.{os.getpid()}'
        temporary.write_text(reached)
        os.replace(temporary, self.folder / step)

    def undo(self, step: str) -> None:
        """Forget a step."""
        (self.folder / step).unlink(missing_ok=True)


def remove_half_installed(site_packages: Path) -> list[str]:
    """Let pip install again what it was killed over.

    pip unpacks a package's files, its metadata among them, and signs with an ``INSTALLER`` file at
    the end. Metadata without that signature would pass for an installed package.

    Args:
        site_packages: Folder of the environment.

    Returns:
        The names of the metadata folders removed.
    """
    removed = []
    for folder in sorted(site_packages.glob('*.dist-info')):
        if not (folder / 'INSTALLER').is_file():
            shutil.rmtree(folder)
            removed.append(folder.name)
    for folder in site_packages.glob('~*'):  # what pip was replacing
        shutil.rmtree(folder, ignore_errors=True)
    return removed
