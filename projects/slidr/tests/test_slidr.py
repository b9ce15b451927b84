"""Superpixels are made once, move with their pictures, and teach the points on them."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip('mmdet3d')
pytest.importorskip('skimage')

from mm3dpretrain.registry import MODELS, TRANSFORMS
from mm3dpretrain.utils import prepare_runtime
from projects.ppkt.tests.test_ppkt import camera_batch
from projects.slidr.slidr.slidr import nce, superpixel_means
from projects.slidr.slidr.superpixels import warp_labels

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / 'projects/slidr/configs/slidr_minkunet-tiny_1xb4-20e_synthetic-streets.py'


@pytest.fixture
def model(monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = prepare_runtime(CONFIG)
    torch.manual_seed(0)
    cfg.model.image_encoder.init_cfg = None
    return MODELS.build(cfg.model).train()


def superpixel_batch() -> dict:
    batch = camera_batch()
    height, width = batch['img'].shape[-2:]
    rows, columns = torch.arange(height) // 16, torch.arange(width) // 16
    labels = rows[:, None] * 6 + columns
    return dict(batch, superpixels=labels.expand(2, 1, -1, -1).float())


def test_reference_loss_and_gradients(golden):
    """Public code: superpixel averages and InfoNCE."""
    stored = golden('losses/slidr.npz')
    k, q = (torch.tensor(stored[name], requires_grad=True) for name in 'kq')
    loss, _ = nce(k, q, float(stored['temperature']))
    assert loss.item() == pytest.approx(float(stored['nce_loss']), rel=1e-5)
    loss.backward()
    for value, name in ((k, 'grad_k'), (q, 'grad_q')):
        torch.testing.assert_close(value.grad, torch.tensor(stored[name]), rtol=1e-4, atol=1e-5)

    def array(name):
        return torch.tensor(stored[f'superpixel/{name}'])

    points = array('points_features').requires_grad_()
    maps = array('image_features').requires_grad_()
    means = superpixel_means(
        points,
        maps,
        array('superpixels').long(),
        array('pairing_points').long(),
        array('pairing_images_mhw').long(),
    )
    assert len(means[0]) == stored['superpixel/kept'].sum()
    loss, _ = nce(*means, float(stored['temperature']))
    assert loss.item() == pytest.approx(float(stored['superpixel/loss']), rel=1e-5)
    loss.backward()
    for value, name in ((points, 'grad_points'), (maps, 'grad_image')):
        expected = array(name)
        torch.testing.assert_close(
            value.grad, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item()
        )


def test_means_equal_a_loop():
    generator = torch.Generator().manual_seed(0)
    points, maps = (torch.randn(*s, generator=generator) for s in ((30, 4), (2, 4, 5, 6)))
    labels = torch.randint(-1, 4, (2, 5, 6), generator=generator)
    pixels = torch.stack(
        [torch.randint(0, high, (40,), generator=generator) for high in (2, 5, 6)], dim=1
    )
    owners = torch.randint(0, 30, (40,), generator=generator)
    k, q = superpixel_means(points, maps, labels, owners, pixels)
    expected = []
    for picture in range(2):
        for number in range(4):
            members = [
                points[owners[m]]
                for m in range(40)
                if pixels[m, 0] == picture and labels[tuple(pixels[m])] == number
            ]
            if members:
                inside = maps[picture][:, labels[picture] == number].mean(1)
                expected.append((torch.stack(members).mean(0), inside))
    assert len(k) == len(expected)
    for i, (point, pixel) in enumerate(expected):
        torch.testing.assert_close(k[i], point, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(q[i], pixel, rtol=1e-4, atol=1e-5)


def test_learns(model):
    batch = superpixel_batch()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(10):
        out = model.loss(batch)
        optimizer.zero_grad()
        out['loss_slidr'].backward()
        optimizer.step()
        losses.append(out['loss_slidr'].item())
    assert losses[-1] < losses[0] - 0.3, losses
    assert 10 < out['superpixels'] <= 48
    assert all(p.grad is None for p in model.image_encoder.parameters())


def test_nothing_seen_is_no_error(model):
    batch = superpixel_batch()
    batch['points'][..., 0] -= 100
    out = model.loss(batch)
    assert out['loss_slidr'] == 0 and out['superpixels'] == 0
    out['loss_slidr'].backward()
    with pytest.raises(ValueError, match='PackSuperpixelPairs'):
        model.loss(camera_batch())


def test_labels_follow_resize_crop_and_mirror():
    labels = np.arange(12).reshape(3, 4)
    twice = np.diag([2.0, 2.0, 1.0])
    big = warp_labels(labels, twice, (6, 8))
    assert np.array_equal(big, labels.repeat(2, 0).repeat(2, 1))
    mirror = np.array([[-1.0, 0, 4], [0, 1, 0], [0, 0, 1]])
    assert np.array_equal(warp_labels(labels, mirror, (3, 4)), labels[:, ::-1])
    crop = np.array([[1.0, 0, -1], [0, 1, -2], [0, 0, 1]])
    assert np.array_equal(warp_labels(labels, crop, (1, 3)), labels[2:, 1:])
    both = crop @ mirror
    assert np.array_equal(warp_labels(labels, both, (1, 3)), labels[:, ::-1][2:, 1:])


def frame(tmp_path) -> dict:
    """What LoadLidar and LoadPictures make of a frame whose picture is four squares."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, 30:], picture[20:, :30], picture[20:, 30:] = 80, 160, 240
    path = tmp_path / 'picture.png'
    if not path.is_file():
        cv2.imwrite(str(path), picture)
    matrix = np.array([[30.0, -30, 0, 0], [20, 0, -30, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    image = dict(img_path=str(path), camera='CAM2', lidar2img=matrix)
    points = np.array([[5.0, 0.5, 0.5, 0.1], [6.0, -0.5, 0.2, 0.1]], np.float32)
    return dict(
        sample_id='0', lidar_path='0.bin', points=points, images=[image], imgs=[picture],
        img_shape=[(40, 60)], lidar2img=matrix[None].copy(),
    )  # fmt: skip


def test_superpixels_are_made_once_and_move_with_the_picture(tmp_path, monkeypatch):
    prepare_runtime(CONFIG)
    settings = dict(num_segments=4, sigma=0.0, compactness=0.1, cache_dir=str(tmp_path / 'cache'))
    pack = TRANSFORMS.build(dict(type='PackSuperpixelPairs', **settings))
    plain = pack.transform(frame(tmp_path))['inputs']['superpixels']
    assert plain.shape == (1, 40, 60) and len(plain.unique()) == 4
    assert (plain[0, :20, :30] == plain[0, 0, 0]).all()  # a square is a superpixel
    assert len(list((tmp_path / 'cache').iterdir())) == 1

    from skimage import segmentation

    def computed(*args, **kwargs):
        raise AssertionError('SLIC was run')

    monkeypatch.setattr(segmentation, 'slic', computed)
    moved = frame(tmp_path)
    mirror = np.array([[-1.0, 0, 60], [0, 1, 0], [0, 0, 1]])
    moved['lidar2img'][0, :3] = mirror @ moved['lidar2img'][0, :3]
    assert pack.transform(moved)['inputs']['superpixels'].equal(plain.flip(-1))
    # another picture of that name is divided anew
    picture = tmp_path / 'picture.png'
    os.utime(picture, ns=(1, 1))
    with pytest.raises(AssertionError, match='SLIC was run'):
        pack.transform(frame(tmp_path))


def test_bad_settings_and_pictures(tmp_path):
    prepare_runtime(CONFIG)
    from mm3dpretrain.datasets.io import SampleError

    with pytest.raises(ValueError, match='num_segments'):
        TRANSFORMS.build(dict(type='PackSuperpixelPairs', num_segments=1))
    pack = TRANSFORMS.build(dict(type='PackSuperpixelPairs', cache_dir=str(tmp_path)))
    with pytest.raises(SampleError, match='no.png'):
        pack.superpixels(tmp_path / 'no.png')
