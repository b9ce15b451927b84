"""ESPNet as a teacher: its shapes, and its published weights on a street."""

import cv2
import pytest
import torch

from mm3dpretrain.registry import MODELS

ROAD, VEGETATION, SKY, CAR = 0, 8, 10, 13


def test_shapes_of_odd_pictures():
    teacher = MODELS.build(dict(type='ESPNetTeacher', levels=(0, 1, 2, 3)))
    maps = teacher(torch.randn(2, 3, 60, 98))
    assert [tuple(m.shape) for m in maps] == [
        (2, 19, 32, 52),
        (2, 131, 16, 26),
        (2, 256, 8, 13),
        (2, 20, 64, 104),
    ]
    assert teacher.padded_size(60, 98) == (64, 104)
    assert not list(teacher.parameters()) and not maps[0].requires_grad


def test_unknown_level():
    with pytest.raises(ValueError, match=r'levels must be in \[0, 4\), got \(4,\)'):
        MODELS.build(dict(type='ESPNetTeacher', levels=(4,)))


def test_published_weights_know_a_street(data_root):
    weights = data_root / 'nets2d' / 'espnet_p2q8_cityscapes.pth'
    if not weights.is_file():
        pytest.skip(f'{weights} is missing')
    teacher = MODELS.build(dict(type='ESPNetTeacher', weights=str(weights), levels=(3,)))
    pictures = sorted((data_root / 'kitti_mini' / 'training' / 'image_2').glob('*.*'))
    if not pictures:
        pytest.skip('kitti_mini is missing')
    mean, std = (torch.tensor(v)[:, None, None] for v in (teacher.pixel_mean, teacher.pixel_std))
    seen = []
    for path in pictures:
        rgb = cv2.imread(str(path))[..., ::-1].copy()
        img = (torch.from_numpy(rgb).permute(2, 0, 1).float() - mean) / std
        seen.append(teacher(img[None])[0][0].argmax(0)[: rgb.shape[0], : rgb.shape[1]])
    below = torch.stack([s[-60:, 400:800].eq(ROAD).float().mean() for s in seen])
    above = torch.stack([s[:120].eq(ROAD).float().mean() for s in seen])
    assert below.mean() > 0.7 and above.mean() < 0.05, (below, above)
    green = torch.stack([(s[:120].eq(VEGETATION) | s[:120].eq(SKY)).float().mean() for s in seen])
    assert green.mean() > 0.5, green
    assert any(s.eq(CAR).float().mean() > 0.02 for s in seen)
