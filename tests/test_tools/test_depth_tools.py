"""The tools around depth estimation: what a guess reaches, and the sheet of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.transforms.depth import _Crop
from mm3dpretrain.registry import MODELS, TRANSFORMS
from mm3dpretrain.utils import prepare_runtime
from tools.analysis_tools import depth_baseline
from tools.visualization import visualize_depth

CONFIG = (
    Path(__file__).resolve().parents[2]
    / 'configs/downstream/depth/densedepth_resnet18-tiny_1xb4-100e_synthetic-streets_scratch.py'
)


def options(data_root: Path) -> list[str]:
    return [
        '--cfg-options',
        f'train_dataloader.dataset.data_root={data_root}/kitti_mini',
        'train_dataloader.dataset.indices=3',
        f'test_dataloader.dataset.data_root={data_root}/kitti_mini',
    ]


def test_guesses_without_the_picture(data_root, tmp_path, capsys):
    out = tmp_path / 'base.json'
    assert depth_baseline.main([str(CONFIG), '--json', str(out), *options(data_root)]) == 0
    found = json.loads(out.read_text())
    assert len(found) == 2 and capsys.readouterr().out.count('abs_rel') == 2
    constant, rows = found.values()
    assert constant['num_images'] == rows['num_images'] == 3
    # the road is nearer at the bottom
    assert rows['rmse'] < constant['rmse']


def test_guesses_lie_as_the_test_does(tmp_path, capsys):
    """A training that is cropped, as NYU's is, must not shift the guesses of the rows."""
    root = tmp_path / 'nyu'
    root.mkdir()
    for kind in ('train', 'test'):
        (root / f'nyu_{kind}.txt').write_text('a.jpg a.png\n')
    cv2.imwrite(str(root / 'a.jpg'), np.zeros((480, 640, 3), np.uint8))
    rows = np.linspace(9000, 1000, 480).astype(np.uint16)
    cv2.imwrite(str(root / 'a.png'), np.repeat(rows[:, None], 640, 1))
    config = CONFIG.parent / 'densedepth_resnet50_2xb8-24e_nyu_scratch.py'
    out = tmp_path / 'base.json'
    folders = [f'{kind}_dataloader.dataset.data_root={root}' for kind in ('train', 'test')]
    assert depth_baseline.main([str(config), '--json', str(out), '--cfg-options', *folders]) == 0
    constant, by_row = json.loads(out.read_text()).values()
    assert by_row['abs_rel'] < 1e-6 < constant['abs_rel']


def test_missing_data_is_one_line(tmp_path, capsys):
    missing = f'train_dataloader.dataset.data_root={tmp_path}/none'
    assert depth_baseline.main([str(CONFIG), '--cfg-options', missing]) == 1
    assert capsys.readouterr().err.startswith('error: ')


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    cfg = prepare_runtime(CONFIG)
    model = MODELS.build(cfg.model)
    path = tmp_path / 'epoch_1.pth'
    meta = dict(cfg=cfg.pretty_text, epoch=1)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


def test_sheet_of_real_frames(checkpoint, data_root, tmp_path, capsys):
    out = tmp_path / 'sheet.png'
    command = [str(checkpoint), '--out', str(out), '--num', '2', '--width', '200']
    assert visualize_depth.main([*command, *options(data_root)]) == 0
    sheet = cv2.imread(str(out))
    # four panels of 200 pixels, two rows of the aspect of KITTI
    assert 800 < sheet.shape[1] < 830 and 130 < sheet.shape[0] < 220
    assert capsys.readouterr().out.count('AbsRel') == 2


def test_sheet_refuses(checkpoint, data_root, tmp_path, capsys):
    command = [str(checkpoint), '--index', '7', *options(data_root)]
    assert visualize_depth.main(command) == 1
    assert 'there are 3 samples' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        visualize_depth.main([str(checkpoint), '--out', 'sheet.xyz'])


def test_frame_without_depth_is_one_line(checkpoint, data_root, tmp_path, capsys):
    # the rows at the top of a street have no depth
    steps = [
        dict(type='LoadDepthImage'), dict(type='LidarDepthTargets'), dict(type='CropSky'),
        dict(type='PackDepth'),
    ]  # fmt: skip
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = [{str(CONFIG)!r}]\ntest_dataloader = dict(dataset=dict(pipeline={steps}))\n'
    )
    command = [str(checkpoint), '--config', str(config), '--out', str(tmp_path / 'a.png')]
    command += options(data_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRANSFORMS.module_dict, 'CropSky', CropSky)
        assert visualize_depth.main(command) == 1
    assert 'has no depth behind its pipeline' in capsys.readouterr().err


class CropSky(_Crop):
    """The upper 64 rows."""

    def transform(self, results: dict) -> dict:
        return self.crop(results, 0, 0, (64, 256))


def test_panels_show_error_and_gaps():
    truth = np.zeros((40, 80), np.float32)
    truth[20:, :] = 10.0
    predicted = np.full((40, 80), 10.0, np.float32)
    predicted[:, 40:] = 20.0
    picture = np.full((20, 40, 3), 99, np.uint8)
    row = visualize_depth.panels(picture, predicted, truth, 80, 0.5)
    assert all(panel.shape == (40, 80, 3) for panel in row)
    measured, error = row[2:]
    assert (measured[:15] == 255).all() and (error[:15] == 255).all()
    left, right = error[30, 10].astype(int), error[30, 70].astype(int)
    assert left.min() > 200 and right[0] > 150 and right[1] < 30
