"""Transforms of views and what they do to the cameras."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.transforms import ColorJitterView, RandomFlipView, ResizeView
from mm3dpretrain.structures import Cameras, look_at


def view(height=12, width=20, views=None, seed=0):
    shape = (height, width, 3) if views is None else (views, height, width, 3)
    return dict(img=np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def cameras(height=12, width=20):
    eyes = torch.tensor([[[0.3, -2.0, 1.0]]])
    intrinsics = torch.tensor([[[[15.0, 0, 9.0], [0, 14.0, 6.5], [0, 0, 1]]]])
    return Cameras(look_at(eyes), intrinsics, (height, width))


def test_resize():
    results = ResizeView((6, 10))({**view(), 'cameras': cameras()})
    assert results['img'].shape == (6, 10, 3) and results['img'].dtype == np.uint8
    # shrinking by two is the mean of the four pixels
    mean = view()['img'].reshape(6, 2, 10, 2, 3).mean((1, 3))
    np.testing.assert_allclose(results['img'], mean, atol=1)
    assert results['cameras'].image_size == (6, 10)
    points = torch.randn(1, 5, 3) * 0.3
    before, _ = cameras().project(points)
    after, _ = results['cameras'].project(points)
    torch.testing.assert_close(after * 2, before)
    assert ResizeView(7)(view(views=2))['img'].shape == (2, 7, 7, 3)
    assert ResizeView(24)(view())['img'].shape == (24, 24, 3)
    constant = dict(img=np.full((5, 5, 3), 77, np.uint8))
    assert (ResizeView(9)(constant)['img'] == 77).all()


def test_resize_to_the_same_size_keeps_all():
    before = view()
    assert ResizeView((12, 20))(dict(before))['img'] is before['img']


@pytest.mark.parametrize('size', [0, (4, 0), (1, 2, 3)])
def test_resize_bad_size(size):
    with pytest.raises(ValueError, match='size'):
        ResizeView(size)


@pytest.mark.parametrize('transform', [ResizeView(4), RandomFlipView(), ColorJitterView()])
@pytest.mark.parametrize(
    'image',
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_wrong_channels(transform, image):
    with pytest.raises(ValueError, match='img must be'):
        transform(dict(img=image))


def test_flip_mirrors_picture_and_camera():
    before = view()
    results = RandomFlipView(prob=1)({**before, 'cameras': cameras()})
    np.testing.assert_array_equal(results['img'], before['img'][:, ::-1])
    assert results['img_flipped']
    points = torch.randn(1, 5, 3) * 0.3
    uv, depth = cameras().project(points)
    flipped, same = results['cameras'].project(points)
    torch.testing.assert_close(flipped[..., 0], 20 - uv[..., 0])
    torch.testing.assert_close(flipped[..., 1], uv[..., 1])
    torch.testing.assert_close(same, depth)
    # un-projecting the mirrored depth map finds the same places
    maps = torch.rand(1, 1, 12, 20) + 1
    torch.testing.assert_close(
        results['cameras'].unproject(maps.flip(-1)).flip(-2), cameras().unproject(maps)
    )


def test_flip_probability():
    kept = RandomFlipView(prob=0)(view())
    np.testing.assert_array_equal(kept['img'], view()['img'])
    flips = [RandomFlipView()(view())['img_flipped'] for _ in range(200)]
    assert 70 < sum(flips) < 130
    with pytest.raises(ValueError, match='prob'):
        RandomFlipView(1.5)


def jitter(image, brightness=0.0, contrast=0.0, saturation=0.0):
    return ColorJitterView(brightness, contrast, saturation)(dict(img=image))['img']


def test_jitter_of_nothing_changes_nothing():
    image = view()['img']
    np.testing.assert_array_equal(jitter(image), image)


def test_brightness_multiplies():
    image = np.full((4, 4, 3), 100, np.uint8)
    values = {int(jitter(image, brightness=0.4)[0, 0, 0]) for _ in range(100)}
    assert 60 <= min(values) < 70 and 130 < max(values) <= 140
    assert jitter(np.full((4, 4, 3), 250, np.uint8), brightness=0.4).max() <= 255


def test_contrast_keeps_the_mean_grey():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2], image[2:] = 80, 120
    for _ in range(20):
        out = jitter(image, contrast=0.4).astype(int)
        assert out[0, 0, 0] + out[3, 3, 0] == pytest.approx(200, abs=1)
        assert 23 <= out[3, 3, 0] - out[0, 0, 0] <= 57
    grey = np.full((4, 4, 3), 93, np.uint8)
    np.testing.assert_array_equal(jitter(grey, contrast=0.4), grey)


def test_saturation_keeps_the_grey_of_each_pixel():
    image = view()['img'] // 2 + 64
    weights = [0.299, 0.587, 0.114]
    for _ in range(10):
        out = jitter(image, saturation=0.4)
        np.testing.assert_allclose(out @ weights, image @ weights, atol=2)
    grey = np.repeat(view()['img'][..., :1], 3, -1)
    np.testing.assert_array_equal(jitter(grey, saturation=0.9), grey)


def test_jitter_is_seeded_and_equal_for_all_views():
    images = np.repeat(view()['img'][None], 3, 0)
    np.random.seed(3)
    first = jitter(images, 0.4, 0.4, 0.4)
    np.random.seed(3)
    np.testing.assert_array_equal(first, jitter(images, 0.4, 0.4, 0.4))
    np.testing.assert_array_equal(first[0], first[2])
    assert not np.array_equal(first, jitter(images, 0.4, 0.4, 0.4))
    with pytest.raises(ValueError, match='negative'):
        ColorJitterView(-0.1)


def test_jitter_does_not_write_into_its_input():
    image = view()['img']
    image.setflags(write=False)
    jitter(image, 0.4, 0.4, 0.4)
