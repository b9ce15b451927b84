"""Pictures of a set of pairs."""

from __future__ import annotations

import cv2
import pytest

from tests.pair_sets import write_kitti, write_waymo
from tools.visualization import browse_pairs

PIPELINE = """[
    dict(type='LoadLidar'), dict(type='LoadPictures'), dict(type='FlipPictures', prob=1.0),
    dict(type='LidarDepth', stride=4), dict(type='TwoViewPoints', num_points=200),
    dict(type='PackPairs')]"""


def write_config(tmp_path, kind, root, extra='', pipeline=PIPELINE):
    path = tmp_path / 'config.py'
    path.write_text(
        f'train_dataloader = dict(dataset=dict(type={kind!r}, data_root={str(root)!r}, {extra}'
        f'pipeline={pipeline}))'
    )
    return str(path)


def test_writes_sheets_and_goes_on_after_a_broken_frame(tmp_path, capsys):
    root = write_kitti(tmp_path / 'kitti', num=3)
    (root / 'training' / 'velodyne' / '000001.bin').write_bytes(b'abc')
    config = write_config(tmp_path, 'KittiPairs', root)
    out = tmp_path / 'out'
    # the exit code tells of the broken one
    assert browse_pairs.main([config, '--out', str(out), '--width', '128']) == 1
    captured = capsys.readouterr()
    assert '000001.bin' in captured.err and '2 of 3 frames drawn' in captured.out
    written = sorted(out.iterdir())
    assert len(written) == 2
    picture = cv2.imread(str(written[0]))
    # a title, the picture with points, the depth, and two views from above beside each other
    camera = round(40 * 128 / 120)
    assert picture.shape == (18 + 2 * (camera + 4) + 128 + 4, 2 * 132, 3)
    over = picture[18 : 18 + camera, :128]
    assert (over.max(-1).astype(int) - over.min(-1) > 150).mean() > 0.02  # bright dots
    below = picture[-132:-4]
    for view in (below[:, :128], below[:, 132:260]):
        assert 50 < (view < 250).any(-1).sum() < 4000


def test_chosen_frames_of_several_cameras(tmp_path):
    root = write_waymo(tmp_path / 'waymo')
    extra = "cameras=['CAM_FRONT', 'CAM_FRONT_LEFT'], "
    config = write_config(tmp_path, 'WaymoPairs', root, extra)
    args = [config, '--out', str(tmp_path / 'out'), '--width', '64', '--index', '2', '0']
    assert browse_pairs.main(args) == 0
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['000_2.png', '001_0.png']


def test_several_sets_at_once(tmp_path, capsys):
    root = write_kitti(tmp_path / 'kitti', num=2)
    (root / 'training' / 'velodyne' / '000001.bin').write_bytes(b'abc')
    path = tmp_path / 'config.py'
    one = f'dict(type="KittiPairs", data_root={str(root)!r}, pipeline={PIPELINE})'
    path.write_text(
        f'train_dataloader = dict(dataset=dict(type="ConcatDataset", datasets=[{one}, {one}]))'
    )
    out = tmp_path / 'out'
    args = [str(path), '--out', str(out), '--width', '64', '--index', '2', '3']
    assert browse_pairs.main(args) == 1
    assert [p.name for p in out.iterdir()] == ['000_2.png']
    assert 'frame 3 is left out' in capsys.readouterr().err


def test_still_pipelines_and_options(tmp_path):
    root = write_kitti(tmp_path / 'kitti', num=2)
    pipeline = "[dict(type='LoadLidar'), dict(type='LoadPictures'), dict(type='PackPairs')]"
    config = write_config(tmp_path, 'KittiPairs', root, pipeline=pipeline)
    args = [config, '--out', str(tmp_path / 'out'), '--width', '64', '--cfg-options']
    assert browse_pairs.main([*args, 'train_dataloader.dataset.indices=1']) == 0
    assert len(list((tmp_path / 'out').iterdir())) == 1


@pytest.mark.parametrize(
    'args, message',
    [
        (['--index', '5'], r'--index 5: there are 2 samples'),
        (['--loader', 'val_dataloader'], "has no val_dataloader; it has \\['train_dataloader'\\]"),
    ],
)
def test_user_errors_are_one_line(tmp_path, capsys, args, message):
    import re

    config = write_config(tmp_path, 'KittiPairs', write_kitti(tmp_path / 'kitti', num=2))
    assert browse_pairs.main([config, '--out', str(tmp_path / 'out'), *args]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count('\n') == 1


def test_other_pipelines_are_refused(tmp_path, capsys):
    root = write_kitti(tmp_path / 'kitti', num=2)
    config = write_config(tmp_path, 'KittiPairs', root, pipeline="[dict(type='LoadLidar')]")
    assert browse_pairs.main([config, '--out', str(tmp_path / 'out')]) == 1
    assert 'does not end in PackPairs' in capsys.readouterr().err
