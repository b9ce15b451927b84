"""Fixtures that find the real data and the golden vectors, or skip and say why."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
DATA_ROOT = Path(os.environ.get('MM3D_DATA', ROOT.parent / 'shared' / 'data'))


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder of the small real data sets (``MM3D_DATA``)."""
    if not DATA_ROOT.is_dir():
        pytest.skip(f'no real data at {DATA_ROOT}: set MM3D_DATA')
    return DATA_ROOT


def _golden_file(name: str) -> Path:
    path = DATA_ROOT.parent / 'golden' / name
    if not path.is_file():
        pytest.skip(f'no golden vectors at {path}: set MM3D_DATA to the data folder beside them')
    return path


@pytest.fixture(scope='session')
def golden():
    """``golden('ops/knn.npz')`` gives the arrays of one reference file as a dict."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(_golden_file(name), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    return load


@pytest.fixture(scope='session')
def golden_json():
    """``golden_json('point_bert/cls_small_config.json')`` gives the parsed file."""
    return lambda name: json.loads(_golden_file(name).read_text())


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)


def pytest_collection_modifyitems(config, items) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason='needs a CUDA device')
    for item in items:
        if 'gpu' in item.keywords:
            item.add_marker(skip)
