"""Poses that users bring: every layout and file, and what is wrong with a bad one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.models.renderers import orbit_views, pose_views
from mm3dpretrain.registry import TASK_UTILS

CAMERAS = orbit_views(3, 25, image_size=(40, 60))
WORLD_TO_CAMERA = CAMERAS.extrinsics[0].double().numpy()
CAMERA_TO_WORLD = np.linalg.inv(WORLD_TO_CAMERA)
INTRINSICS = CAMERAS.intrinsics[0, 0].double().numpy()


def same(found, expected=CAMERAS):
    assert torch.allclose(found.extrinsics, expected.extrinsics, atol=1e-5)
    assert torch.allclose(found.intrinsics, expected.intrinsics)
    assert (found.image_size, found.projection) == (expected.image_size, expected.projection)
    assert found.extrinsics.dtype == torch.float32


@pytest.mark.parametrize('to_world', [True, False])
@pytest.mark.parametrize('rows', [3, 4])
@pytest.mark.parametrize('kind', [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_arrays(to_world, rows, kind):
    poses = (CAMERA_TO_WORLD if to_world else WORLD_TO_CAMERA)[:, :rows].copy()
    same(pose_views(kind(poses), INTRINSICS, (40, 60), to_world))
    one = pose_views(kind(poses[1]), kind(CAMERAS.intrinsics[0, 1:2].numpy()), (40, 60), to_world)
    same(one, CAMERAS.select_views(1))


def test_files(tmp_path):
    np.save(tmp_path / 'poses.npy', CAMERA_TO_WORLD)
    np.savetxt(tmp_path / 'stacked.txt', CAMERA_TO_WORLD.reshape(-1, 4), fmt='%.5f')
    np.savetxt(tmp_path / 'lines.txt', CAMERA_TO_WORLD[:, :3].reshape(3, 12))
    np.savetxt(tmp_path / 'one.txt', CAMERA_TO_WORLD[0])
    full = np.eye(4)  # as ScanNet writes intrinsics
    full[:3, :3] = INTRINSICS
    np.savetxt(tmp_path / 'intrinsic.txt', full)
    intrinsics = str(tmp_path / 'intrinsic.txt')
    for name in ('poses.npy', 'stacked.txt', 'lines.txt'):
        found = pose_views(tmp_path / name, intrinsics, (40, 60), camera_to_world=True)
        same(found)
        # what the file rounded is made a rotation again
        rotation = found.extrinsics[..., :3, :3]
        assert (rotation @ rotation.mT - torch.eye(3)).abs().max() < 1e-6
    one = pose_views(tmp_path / 'one.txt', intrinsics, (40, 60), camera_to_world=True)
    same(one, CAMERAS.select_views(0))


def test_npz_says_everything_itself(tmp_path):
    """The file that the converters of this toolbox write, and one with poses."""
    rest = dict(intrinsics=CAMERAS.intrinsics[0].numpy(), image_size=np.array([40, 60]))
    np.savez(
        tmp_path / 'cameras.npz',
        extrinsics=WORLD_TO_CAMERA,
        projection=np.array('orthographic'),
        **rest,
    )
    np.savez(tmp_path / 'poses.npz', poses=CAMERA_TO_WORLD, **rest)
    found = pose_views(tmp_path / 'cameras.npz', projection='perspective')
    same(found)
    assert pose_views(tmp_path / 'cameras.npz').projection == 'orthographic'
    same(pose_views(tmp_path / 'poses.npz'))
    views = TASK_UTILS.build(dict(type='PoseViews', poses=str(tmp_path / 'poses.npz')))
    same(views())
    with pytest.raises(ValueError, match="camera_to_world=True, but .*has 'extrinsics'"):
        pose_views(tmp_path / 'cameras.npz', camera_to_world=True)
    np.savez(tmp_path / 'none.npz', matrices=CAMERA_TO_WORLD)
    with pytest.raises(ValueError, match=r"neither 'extrinsics' nor 'poses': \['matrices'\]"):
        pose_views(tmp_path / 'none.npz')


def changed(view: int, row: int, column: int, value: float) -> np.ndarray:
    poses = WORLD_TO_CAMERA.copy()
    poses[view, row, column] = value
    return poses


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(camera_to_world=None), 'say with camera_to_world'),
        (dict(intrinsics=None), 'intrinsics are missing'),
        (dict(image_size=None), 'image_size are missing'),
        (dict(poses=np.eye(3)), r'poses must be \(V, 4, 4\) .* got \(3, 3\)'),
        (dict(poses=np.zeros((0, 4, 4))), r'got \(0, 4, 4\)'),
        (dict(poses=changed(1, 0, 0, 2.0)), 'view 1 is no rotation'),
        (dict(poses=-WORLD_TO_CAMERA[:, :3]), 'view 0 is no rotation .*det R = -1'),
        (dict(poses=changed(2, 0, 3, -np.inf)), 'view 2 is not finite'),
        (dict(poses=changed(2, 3, 0, 1.0)), 'last row of view 2 must be 0 0 0 1'),
        (dict(poses=WORLD_TO_CAMERA.swapaxes(1, 2)), 'last row of view 0'),
        (dict(intrinsics=np.eye(2)), r'intrinsics must be .* got \(2, 2\)'),
        (dict(intrinsics=np.ones((2, 3, 3))), r'or \(3, 3, 3\), got \(2, 3, 3\)'),
        (dict(intrinsics=np.zeros((3, 3))), 'finite with focal lengths'),
        (dict(poses='cameras.json'), 'no camera file at cameras.json'),
    ],
)
def test_mistakes_are_named(arguments, message):
    valid = dict(
        poses=WORLD_TO_CAMERA, intrinsics=INTRINSICS, image_size=(40, 60), camera_to_world=False
    )
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        pose_views(**{**valid, **arguments})


def test_unreadable_files_are_named(tmp_path):
    for name, content in (('a.npy', 'nonsense'), ('b.txt', '1 2 x'), ('c.json', '{}')):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=name):
            pose_views(tmp_path / name, INTRINSICS, 40, camera_to_world=True)
