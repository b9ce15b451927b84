from __future__ import annotations

import math
import sys

import pytest

from mm3dpretrain.compat import require


def test_returns_the_module():
    assert require('math') is math


def test_missing_package_names_purpose_and_command():
    with pytest.raises(ImportError) as caught:
        require('no_such_package.part', extra='eval', why='the linear SVM probe')
    text = str(caught.value)
    assert 'the linear SVM probe' in text and 'no_such_package' in text
    assert "pip install 'mm3dpretrain[eval]'" in text and 'pip install -e .[eval]' in text


def test_without_an_extra_the_package_itself_is_named():
    with pytest.raises(ImportError, match='pip install no_such_package$'):
        require('no_such_package')


def test_broken_package_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / 'broken_package.py').write_text('import its_missing_dependency\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match='its_missing_dependency') as caught:
        require('broken_package')
    assert 'not installed' not in str(caught.value)
    assert 'broken_package' not in sys.modules
