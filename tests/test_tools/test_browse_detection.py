"""Pictures of boxes as a user asks for them, on two rooms of random points."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

pytest.importorskip('mmdet3d')

from mmdet3d.registry import MODELS

from mm3dpretrain.compat import set_cpu_ops
from mm3dpretrain.utils import prepare_runtime
from tools.visualization import browse_detection

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/downstream'
VOTENET = CONFIGS / 'mmdet3d/votenet_pointtransformer-tiny_1xb4-8e_synthetic-rooms_scratch.py'
BOX = [1.0, 0.5, 0.4, 1.2, 0.8, 0.8]


@pytest.fixture(autouse=True)
def _scope():
    """The tool enters mmdet3d's scope."""
    set_cpu_ops('on')
    with DefaultScope.overwrite_default_scope('mm3dpretrain'):
        yield
    set_cpu_ops(None)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('rooms')
    (root / 'points').mkdir()
    rng = np.random.default_rng(0)
    frames = []
    for number in range(3):
        points = rng.uniform([-2, -2, 0, 0, 0, 0], [2, 2, 2, 255, 255, 255], (3000, 6))
        points.astype(np.float32).tofile(root / f'points/{number}.bin')
        frames.append(
            dict(
                lidar_points=dict(num_pts_feats=6, lidar_path=f'{number}.bin'),
                pts_instance_mask_path=f'{number}.bin',
                pts_semantic_mask_path=f'{number}.bin',
                axis_align_matrix=np.eye(4).tolist(),
                instances=[dict(bbox_3d=BOX, bbox_label_3d=2)],
            )
        )
    meta = dict(dataset='scannet', info_version='1.1', categories={})
    with open(root / 'rooms_infos_val.pkl', 'wb') as file:
        pickle.dump(dict(metainfo=meta, data_list=frames), file)
    return root


def run(root: Path, out: Path, *more: str, config: Path = VOTENET) -> int:
    options = ['--cfg-options', f'test_dataloader.dataset.data_root={root}/']
    return browse_detection.main([str(config), '--out', str(out), '--size', '200', *more, *options])


def share(path: Path, color) -> float:
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    return float((np.abs(picture - color) < 60).all(-1).mean())


def test_ground_truth(root, tmp_path, capsys):
    assert run(root, tmp_path, '--num', '2') == 0
    assert '2 of 3 samples drawn' in capsys.readouterr().out
    drawn = sorted(tmp_path.glob('*.png'))
    assert [path.name for path in drawn] == ['000000.png', '000002.png']
    for path in drawn:
        assert cv2.imread(str(path)).shape == (200, 200, 3)
        assert share(path, browse_detection.TRUTH) > 0.003
        assert share(path, browse_detection.PREDICTED) == 0


def test_predictions(root, tmp_path):
    config = prepare_runtime(VOTENET)
    model = MODELS.build(config.model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'votenet.pth')
    more = ('--index', '1', '--checkpoint', str(tmp_path / 'votenet.pth'), '--score', '0.0')
    assert run(root, tmp_path / 'out', *more) == 0
    assert share(tmp_path / 'out/000001.png', browse_detection.PREDICTED) > 0.003


def test_what_the_user_can_mend(root, tmp_path, capsys):
    torch.save(dict(state_dict={'other': torch.zeros(1)}), tmp_path / 'other.pth')
    shapes = CONFIGS / 'classification/pointtransformer-tiny_1xb32-30e_synthetic_scratch.py'
    for arguments, config, message in [
        (('--index', '3'), VOTENET, 'there are 3 samples'),
        (('--loader', 'demo_dataloader'), VOTENET, 'has no demo_dataloader; it has'),
        (('--checkpoint', str(tmp_path / 'other.pth')), VOTENET, 'other'),
        (('--checkpoint', str(tmp_path / 'none.pth')), VOTENET, 'none.pth'),
        ((), shapes, 'browse_dataset.py draws'),
    ]:
        assert run(root, tmp_path / 'out', *arguments, config=config) == 1
        error = capsys.readouterr().err
        assert message in error[error.rindex('error: ') :]
    assert not (tmp_path / 'out').exists()
    with pytest.raises(SystemExit):
        run(root, tmp_path, '--loader', 'train_dataloader', '--checkpoint', 'x.pth')
    assert 'unchanged samples' in capsys.readouterr().err
