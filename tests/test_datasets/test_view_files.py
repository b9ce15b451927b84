"""Files of rendered views."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mm3dpretrain.datasets.io import list_images
from mm3dpretrain.datasets.synthetic.views import metadata_cameras, random_metadata
from mm3dpretrain.datasets.transforms.loading import read_cameras
from mm3dpretrain.datasets.view_files import (
    camera_metadata,
    encode_depth,
    save_png,
    view_names,
    write_frames,
    write_rendering,
)
from mm3dpretrain.models.renderers.views import cube_corner_views, orbit_views
from mm3dpretrain.structures.cameras import Cameras


@pytest.mark.parametrize('shape', [(5, 7, 3), (5, 7, 4), (5, 7)])
def test_png_round_trip(tmp_path, shape):
    rng = np.random.default_rng(0)
    kind = np.uint16 if len(shape) == 2 else np.uint8
    pixels = rng.integers(0, np.iinfo(kind).max + 1, shape).astype(kind)
    save_png(tmp_path / 'a.png', pixels)
    again = np.asarray(Image.open(tmp_path / 'a.png'))
    np.testing.assert_array_equal(again, pixels)


def test_depth_counts():
    depth = np.array([[0.0, 1e-9, 0.5, 2.0, 9.0]], np.float32)
    assert encode_depth(depth, 1e-3).tolist() == [[0, 1, 500, 2000, 9000]]
    assert encode_depth(depth, 1e-4).tolist() == [[0, 1, 5000, 20000, 65535]]


def test_metadata_is_the_inverse_of_its_cameras():
    metadata = random_metadata(np.random.default_rng(1), 6)
    cameras = metadata_cameras(metadata, 64)
    np.testing.assert_allclose(camera_metadata(cameras, np.zeros(3)), metadata, atol=2e-4)
    assert (camera_metadata(cube_corner_views(32), np.zeros(3))[:, 4] == 0).all()


def test_metadata_of_a_turned_camera():
    cameras = orbit_views(1, elevation=0, image_size=8)
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    # the camera rolls clockwise, so what it sees turns counter-clockwise
    roll = torch.tensor([[c, s, 0, 0], [-s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).float()
    turned = Cameras(roll @ cameras.extrinsics, cameras.intrinsics, (8, 8))
    assert camera_metadata(turned, np.zeros(3))[0, 2] == pytest.approx(-30, abs=1e-3)


def test_rendering_folder(tmp_path):
    cameras = orbit_views(3, image_size=(6, 8))
    rgba = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 4)).astype(np.uint8)
    depth = np.full((3, 6, 8), 2.5)
    write_rendering(tmp_path, rgba, cameras, camera_metadata(cameras, np.zeros(3)), depth, 1e-4)
    # depth pictures are not among the views
    assert list_images(tmp_path) == ['00.png', '01.png', '02.png']
    assert (tmp_path / 'renderings.txt').read_text().split() == list_images(tmp_path)
    assert np.loadtxt(tmp_path / 'rendering_metadata.txt').shape == (3, 5)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / '02.png')), rgba[2])
    assert (np.asarray(Image.open(tmp_path / '01_depth.png')) == 25000).all()
    again = read_cameras(tmp_path / 'cameras.npz')
    torch.testing.assert_close(again.extrinsics, cameras.extrinsics)
    assert again.image_size == (6, 8)
    with np.load(tmp_path / 'cameras.npz') as arrays:
        assert arrays['depth_scale'] == 1e-4


def test_names_sort_in_order():
    assert view_names(3) == ['00', '01', '02']
    assert sorted(view_names(120)) == view_names(120)


def test_frames_of_a_scan(tmp_path):
    cameras = orbit_views(2, image_size=(6, 8))
    rgb = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3)).astype(np.uint8)
    depth = np.zeros((2, 6, 8))
    depth[:, 2] = 1.2345
    write_frames(tmp_path, rgb, depth, cameras)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'color/000001.png')), rgb[1])
    stored = np.asarray(Image.open(tmp_path / 'depth/000001.png'))
    assert (stored[2] == 1234).all() and (stored[3] == 0).all()
    pose = np.loadtxt(tmp_path / 'pose/000001.txt')
    np.testing.assert_allclose(pose[:3, 3], cameras.centers[0, 1], atol=1e-5)
    np.testing.assert_allclose(np.linalg.inv(pose), cameras.extrinsics[0, 1], atol=1e-5)
    for kind in ('color', 'depth'):
        matrix = np.loadtxt(tmp_path / f'intrinsic/intrinsic_{kind}.txt')
        np.testing.assert_allclose(matrix[:3, :3], cameras.intrinsics[0, 0], rtol=1e-6)
        assert matrix.shape == (4, 4) and matrix[3].tolist() == [0, 0, 0, 1]
        assert (np.loadtxt(tmp_path / f'intrinsic/extrinsic_{kind}.txt') == np.eye(4)).all()


def test_frames_cannot_say_everything(tmp_path):
    picture, depth = np.zeros((8, 8, 8, 3), np.uint8), np.zeros((8, 8, 8))
    with pytest.raises(ValueError, match='orthographic'):
        write_frames(tmp_path, picture, depth, cube_corner_views(8))
    cameras = orbit_views(2, image_size=8)
    other = cameras.intrinsics.clone()
    other[0, 1] *= 2
    with pytest.raises(ValueError, match='intrinsics differ'):
        write_frames(tmp_path, picture[:2], depth[:2], Cameras(cameras.extrinsics, other, (8, 8)))
