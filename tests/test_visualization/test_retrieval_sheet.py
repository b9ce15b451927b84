"""Sheets of queries and what they found."""

from __future__ import annotations

import numpy as np
import pytest
from toy_space import write_shapes

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.visualization import draw_retrieval_sheet, shape_picture


def flat(color, size=32):
    return np.full((size, size, 3), color, np.uint8)


def test_shapes_of_any_size_fill_the_picture(tmp_path):
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(500, 3))
    for shape in (cloud, 1000 * cloud + 77):
        picture = shape_picture(shape, 64)
        assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
        rows = np.flatnonzero((picture < 255).any((1, 2)))
        assert np.ptp(rows) > 32
    np.testing.assert_array_equal(shape_picture(cloud, 64), shape_picture(8.0 * cloud, 64))
    red = shape_picture(cloud, 64, colors=np.tile(np.uint8([[200, 0, 0]]), (500, 1)))
    drawn = (red < 255).any(-1)
    assert (red[drawn] == (200, 0, 0)).all()
    *clouds, mesh = write_shapes(tmp_path, 1)
    for path in (mesh, *clouds):
        assert (shape_picture(path, 48) < 255).any()
    with pytest.raises(SampleError, match='unknown suffix'):
        shape_picture(tmp_path / 'a.doc')


def test_sheet_shows_what_was_given_in_its_order():
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    pictures = [flat(color) for color in colors]
    sheet = draw_retrieval_sheet(
        ['a red thing', flat((90, 0, 90), 64)], [pictures, pictures[::-1]], columns=2
    )
    columns = {
        color: np.flatnonzero((sheet == color).all(-1).any(0)) for color in [*colors, (90, 0, 90)]
    }
    # the text row: red, green; the picture row: query, blue, green
    red, green = (columns[c] for c in colors[:2])
    assert red.max() < green.max()
    assert len(columns[90, 0, 90]) == 32  # the query is brought to the size of the others
    assert columns[90, 0, 90].max() < columns[colors[2]].min()
    assert (sheet[:18] < 128).any()  # the text of the query
    assert sheet.shape[1] == 3 * 36 + 4


def test_bad_lists():
    with pytest.raises(ValueError, match='0 queries'):
        draw_retrieval_sheet([], [])
    with pytest.raises(ValueError, match='nothing was found'):
        draw_retrieval_sheet(['a'], [[]])
    with pytest.raises(ValueError, match='caption'):
        draw_retrieval_sheet(['a'], [[flat(0)]], [['a', 'b']])
