"""mmdet3d's ObjectSample on any NumPy."""

from types import ModuleType

import numpy as np
import pytest

from mm3dpretrain.compat import numpy_names


def test_the_module_sees_long_and_numpy_stays_as_it_is():
    module = ModuleType('sampler')
    module.np = np
    before = 'long' in vars(np)
    numpy_names.mend_long(module)
    assert module.np.array([1, 2], dtype=module.np.long).dtype.kind == 'i'
    assert module.np.linalg is np.linalg and ('long' in vars(np)) == before


def test_mmdet3d_samples_objects(tmp_path):
    """The call that ended in an AttributeError."""
    pytest.importorskip('mmdet3d')
    import pickle

    from mmdet3d.datasets.transforms.dbsampler import DataBaseSampler

    points = np.zeros((20, 4), np.float32)
    points.tofile(tmp_path / 'car.bin')
    box = np.array([10, 5, -1, 4, 1.6, 1.5, 0.1], np.float32)
    record = dict(name='Car', path='car.bin', box3d_lidar=box, difficulty=0,
                  num_points_in_gt=20, group_id=0)  # fmt: skip
    (tmp_path / 'db.pkl').write_bytes(pickle.dumps(dict(Car=[record])))
    sampler = DataBaseSampler(
        info_path=str(tmp_path / 'db.pkl'),
        data_root=str(tmp_path),
        rate=1.0,
        prepare=dict(filter_by_difficulty=[-1]),
        sample_groups=dict(Car=1),
        classes=['Car'],
        points_loader=dict(
            type='mmdet3d.LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4
        ),
    )
    found = sampler.sample_all(np.zeros((0, 7), np.float32), np.zeros(0, np.int64))
    assert found['gt_labels_3d'].tolist() == [0] and found['gt_labels_3d'].dtype == np.int64
