"""Configs cut down for a test."""

from __future__ import annotations

from pathlib import Path


def shortened(path: Path, target: Path, *lines: str) -> Path:
    """Write a config that inherits from another one and replaces what the lines say."""
    target.write_text('\n'.join([f'_base_ = [{str(path)!r}]', *lines]) + '\n')
    return target
