"""Pictures of projected features and of matches."""

from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.visualization.correspondences import (
    GAP,
    correspondence_sheet,
    draw_matches,
    feature_pictures,
)


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    mask = rng.random((2, 6, 8)) < 0.5
    return rng.normal(size=(2, 5, 6, 8)), mask


def test_equal_features_have_equal_colours(maps):
    target, mask = maps
    projected = np.where(mask[:, None], 3 * target, 0)  # lengths do not count
    points, teacher = feature_pictures(projected, target, mask, (24, 32))
    assert [p.shape for p in points + teacher] == [(24, 32, 3)] * 4
    for view in range(2):
        seen = np.kron(mask[view], np.ones((4, 4))) > 0
        assert (points[view][seen] == teacher[view][seen]).all()
        assert (points[view][~seen] == 255).all()
        assert teacher[view].std() > 10


def test_a_map_of_a_padded_picture_is_cut(maps):
    target, mask = maps
    whole = feature_pictures(target, target, mask, (24, 32))[1]
    cut = feature_pictures(target, target, mask, (20, 30), covered=(24, 32))[1]
    assert all((a[:20, :30] == b).all() for a, b in zip(whole, cut))


def test_features_that_do_not_fit(maps):
    target, mask = maps
    with pytest.raises(ValueError, match='do not fit'):
        feature_pictures(target[:, :4], target, mask, (24, 32))
    with pytest.raises(ValueError, match='no view sees'):
        feature_pictures(target, target, np.zeros_like(mask), (24, 32))


def test_lines_lead_to_the_prediction():
    dark = np.zeros((40, 50, 3), np.uint8)
    queries = np.array([[10.5, 20.5]])
    predicted = np.array([[40.5, 30.5]])
    picture = draw_matches(dark, dark, queries, predicted)
    assert picture.shape == (40, 100 + GAP, 3)
    assert picture[20, 10].any() and picture[30, 50 + GAP + 40].any()
    middle = picture[24:27, 50 - 2 : 50].any()
    assert middle and not picture[:10, :50].any()
    # right answers and wrong ones have other colours; circles mark the truth
    right = draw_matches(dark, dark, queries, predicted, predicted)
    wrong = draw_matches(dark, dark, queries, predicted, predicted - 25)
    assert (right[20, 10] != wrong[20, 10]).any()
    assert wrong[5:10, 50 + GAP + 11 : 50 + GAP + 21].any()
    assert not right[5:10, 50 + GAP + 11 : 50 + GAP + 21].any()
    assert not dark.any()


def test_matches_of_nothing_and_outside():
    dark = np.zeros((40, 50, 3), np.uint8)
    none = np.zeros((0, 2))
    assert not draw_matches(dark, dark, none, none)[:, :50].any()
    far = draw_matches(dark, dark, np.array([[1.0, 1.0]]), np.array([[900.0, -900.0]]))
    assert far[:4, -4:].any()
    with pytest.raises(ValueError, match='do not fit'):
        draw_matches(dark, dark[:30], none, none)
    with pytest.raises(ValueError, match='1 predictions'):
        draw_matches(dark, dark, none, np.zeros((1, 2)))


def test_sheet():
    pictures = [np.full((4, 5, 3), value, np.uint8) for value in (1, 2)]
    matches = np.zeros((4, 10 + GAP, 3), np.uint8)
    sheet = correspondence_sheet(pictures, [pictures, pictures], matches)
    assert sheet.shape == (4 * 4 + 3 * GAP, 10 + GAP, 3)
    assert (sheet[4 + GAP : 8 + GAP, :5] == 1).all() and (sheet[-4:] == 0).all()
