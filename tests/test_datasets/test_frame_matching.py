"""Correspondences: both ways, on synthetic and on real frames; projection round trips."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets import SevenScenesFrames
from mm3dpretrain.datasets.frame_grids import read_view
from mm3dpretrain.datasets.frame_matching import (
    View,
    depth_at,
    grid_points,
    lift,
    match_pixels,
    project,
    sample_matches,
)
from mm3dpretrain.structures import Cameras
from tests.frame_sets import CAMERA, SIZE, box_depth, poses

TOL = 0.05


def room_views(num: int = 6) -> list[View]:
    return [View(box_depth(pose), CAMERA, np.linalg.inv(pose)) for pose in poses(num)]


def real_views(data_root, numbers) -> list[View]:
    dataset = SevenScenesFrames(data_root / 'rgbd_7scenes', split='all', lazy_init=True)
    frames = dataset.prepare_scan('frames', dataset.read_scan('frames')).frames
    views = []
    for number in numbers:
        _, depth, camera = read_view(frames[number], (0.1, 10.0))
        views.append(View(depth, camera, np.linalg.inv(frames[number]['cam2world'])))
    return views


def check_matches(first: View, second: View, num: int = 500) -> np.ndarray:
    """Every valid match, from both sides; returns the error of the way back in pixels."""
    rng = np.random.default_rng(0)
    a, b, valid = sample_matches(first, second, num, TOL, 1.0, rng)
    assert a.shape == b.shape == (num, 2) and valid.shape == (num,)
    assert not a[~valid].any() and not b[~valid].any()
    a, b = a[valid], b[valid]
    half = (a % 1 == 0.5).all(1)
    # those that start in the first view are pixel centres there, the others in the second
    assert (b[~half] % 1 == 0.5).all()
    errors = []
    for source, target, here, there, starts in (
        (first, second, a, b, half),
        (second, first, b, a, ~half),
    ):
        here, there = here[starts], there[starts]
        z = depth_at(here, source)
        world = lift(here, z, source)
        uv, depth = project(world, target)
        np.testing.assert_allclose(uv, there, atol=1e-6)
        measured = depth_at(there, target)
        assert (z > 0).all() and (measured > 0).all()
        assert (np.abs(depth - measured) < TOL).all()
        back, again = project(lift(there, measured, target), source)
        assert (np.abs(again - z) < TOL).all()
        errors.append(np.linalg.norm(back - here, axis=1))
    return np.concatenate(errors)


def test_round_trip_and_the_tensors_cameras():
    for view in room_views(3):
        points = grid_points(view)
        uv, z = project(points, view)
        i, j = np.nonzero(view.depth)
        np.testing.assert_allclose(uv, np.stack([j, i], 1) + 0.5, atol=1e-9)
        np.testing.assert_allclose(z, view.depth[i, j], atol=1e-12)
        cameras = Cameras(
            torch.tensor(view.extrinsics)[None, None], torch.tensor(CAMERA)[None, None], SIZE
        )
        theirs, depth = cameras.project(torch.tensor(points)[None])
        np.testing.assert_allclose(theirs[0, 0], uv, atol=1e-9)
        np.testing.assert_allclose(depth[0, 0], z, atol=1e-12)
        lifted = cameras.unproject(torch.tensor(view.depth)[None, None])
        np.testing.assert_allclose(lifted[0, 0].reshape(-1, 3), points, atol=1e-9)


def test_synthetic_matches():
    views = room_views()
    for other in (1, 2, 3):
        errors = check_matches(views[0], views[other])
        assert len(errors) == 500 and errors.max() <= 1


def test_real_matches(data_root):
    first, near, far = real_views(data_root, (0, 4, 40))
    errors = check_matches(first, near)
    assert len(errors) == 500 and errors.max() <= 1
    errors = check_matches(first, far)
    assert len(errors) >= 50 and errors.max() <= 1


def test_matches_are_the_surface(data_root):
    # an independent test: the wall of the box at both ends of a match is the same place
    first, second = room_views()[:2]
    pixels = np.array([[10.5, 20.5], [40.5, 30.5], [79.5, 59.5]])
    targets, seen = match_pixels(pixels, first, second, TOL, 1.0)
    assert seen.any()
    world = lift(pixels, depth_at(pixels, first), first)
    again, _ = project(world, second)
    np.testing.assert_allclose(again[seen], targets[seen], atol=1e-9)
    assert not targets[~seen].any()


def test_occluded_is_no_match():
    first, second = room_views()[:2]
    pixels = np.stack(np.nonzero(first.depth)[::-1], 1) + 0.5
    _, seen = match_pixels(pixels, first, second, TOL, 1.0)
    blocked = second.depth.copy()
    blocked[:, :40] = 0.4
    targets, less = match_pixels(pixels, first, second._replace(depth=blocked), TOL, 1.0)
    assert 0 < less.sum() < seen.sum()
    assert (targets[less][:, 0] >= 40).all()
    # depth unknown there, or here
    assert not match_pixels(pixels, first, second._replace(depth=0 * blocked), TOL, 1.0)[1].any()
    assert not match_pixels(pixels, first._replace(depth=0 * blocked), second, TOL, 1.0)[1].any()


def test_swapping_the_views_swaps_the_ends():
    first, second = room_views()[:2]
    few = 40  # all pixels are tried for so many
    a, b, valid = sample_matches(first, second, few, TOL, 1.0, np.random.default_rng(0), 10**6)
    starts = (a[valid] % 1 == 0.5).all(1)
    targets, seen = match_pixels(b[valid][~starts], second, first, TOL, 1.0)
    assert seen.all()
    np.testing.assert_allclose(targets, a[valid][~starts], atol=1e-9)
    assert starts.sum() == few // 2


@pytest.mark.parametrize('num', [1, 7, 100])
def test_one_side_fills_up_for_the_other(num):
    first, second = room_views()[:2]
    depth = np.zeros(SIZE)
    depth[20, 30] = second.depth[20, 30]
    a, b, valid = sample_matches(
        first, second._replace(depth=depth), num, TOL, 1.0, np.random.default_rng(0), 10**6
    )
    # only one pixel of the second view has a depth: it is found from the first as well
    assert 1 <= valid.sum() <= num
    assert (np.floor(b[valid]) == [30, 20]).all()
    assert valid[: valid.sum()].all() and len(a) == num


def test_views_without_overlap_have_no_match():
    first, *_, last = room_views(8)
    a, b, valid = sample_matches(first, last, 16, TOL, 1.0, np.random.default_rng(0))
    assert not valid.any() and not a.any() and not b.any()
