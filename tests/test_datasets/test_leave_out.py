"""Classes that are kept out of a training."""

from __future__ import annotations

import pytest

from mm3dpretrain.datasets.base_shape import BaseShapeDataset


class Shapes(BaseShapeDataset):
    def load_data_list(self):
        self.set_classes(['bed', 'car', 'lamp'])
        return [self.record(f's{i}', gt_label=i % 3) for i in range(7)]


def test_labels_of_the_others_stay():
    shapes = Shapes(leave_out=['car'])
    assert shapes.gt_labels.tolist() == [0, 2, 0, 2, 0]
    assert shapes.metainfo['classes'] == ('bed', 'car', 'lamp')
    assert len(Shapes()) == 7


def test_before_the_share_of_the_labels():
    assert len(Shapes(leave_out=['bed'], sample_fraction=0.5)) == 2


def test_unknown_class():
    with pytest.raises(ValueError, match=r"\['boat'\].*'bed'"):
        Shapes(leave_out=['boat'])
