"""Metafiles name files that exist, and every config is listed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
METAFILES = sorted(ROOT.glob('configs/*/metafile.yml'))


@pytest.mark.parametrize('path', METAFILES, ids=lambda p: p.parent.name)
def test_metafile(path):
    content = yaml.safe_load(path.read_text())
    collections = {c['Name'] for c in content['Collections']}
    for collection in content['Collections']:
        assert (ROOT / collection['README']).is_file()
        assert (ROOT / collection['Code']['URL']).is_file()
    listed = set()
    for model in content['Models']:
        assert model['In Collection'] in collections
        config = ROOT / model['Config']
        assert config.is_file() and config.stem == model['Name']
        listed.add(config)
        if model['Results']:
            assert (ROOT / model['Results']).is_file()
    assert listed == set(path.parent.glob('*.py'))
