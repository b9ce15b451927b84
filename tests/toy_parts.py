"""A pretrainer and a data set small enough for tests of tools around them."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import nn
from torch.utils.data import Dataset

from mm3dpretrain.datasets.samplers import seed_sample
from mm3dpretrain.models.pretrainers.base import BasePretrainer
from mm3dpretrain.registry import DATASETS, MODELS
from mm3dpretrain.structures import PretrainDataSample

NUM_POINTS = 32


@MODELS.register_module(force=True)
class ToyEncoder(BaseModule):
    """A small PointNet: (B, N, 3) -> ``global`` (B, width)."""

    def __init__(self, width: int = 16, in_channels: int = 3, init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.embed_dim = self.out_channels = width
        self.in_channels = in_channels
        self.first = nn.Linear(in_channels, width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, width)

    def forward(self, points: torch.Tensor) -> dict[str, torch.Tensor]:
        batch, num, _ = points.shape
        hidden = self.norm(self.first(points).flatten(0, 1)).relu()
        return {'global': self.last(hidden).view(batch, num, -1).amax(dim=1)}


@MODELS.register_module(force=True)
class ToyPretrainer(BasePretrainer):
    """Predicts the extent of a cloud from its features."""

    transfer_modules = {'point': 'point_encoder'}

    def __init__(self, point_encoder: dict, data_preprocessor=None, init_cfg=None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.point_encoder = MODELS.build(point_encoder)
        self.head = nn.Linear(self.point_encoder.out_channels, 3)

    def extract_feat(self, inputs, data_samples=None):
        return self.point_encoder(inputs['points'])

    def loss(self, inputs, data_samples=None):
        predicted = self.head(self.extract_feat(inputs)['global'])
        noise = torch.rand(()) * 1e-3  # consumes the generator that a probe must leave alone
        target = inputs['points'].std(dim=1)
        return dict(loss=(predicted - target).square().mean() + noise)


@MODELS.register_module(force=True)
class OtherPretrainer(ToyPretrainer):
    """Another method with the same parts."""


@DATASETS.register_module(force=True)
class ToyShapes(Dataset):
    """Noisy ellipsoids; the class decides which axis is the long one."""

    METAINFO = dict(classes=('x', 'y', 'z'))
    metainfo = dict(classes=('x', 'y', 'z'), gravity_axis='y', normalization='unit_sphere')

    def __init__(self, size: int = 24, noise: float = 0.1, labelled: bool = True, **extra) -> None:
        self.size, self.noise, self.labelled = size, noise, labelled
        self.extra = extra

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        seed_sample(index)
        label = int(index) % 3
        points = np.random.normal(size=(NUM_POINTS, 3)).astype(np.float32)
        points[:, label] *= 3
        points += np.random.normal(scale=self.noise, size=points.shape).astype(np.float32)
        meta = dict(sample_id=str(int(index)), gravity_axis='y', normalization='unit_sphere')
        meta['point_channels'] = ('x', 'y', 'z')
        meta.update(self.extra)
        sample = PretrainDataSample(metainfo=meta)
        if self.labelled:
            sample.gt_label = torch.tensor([label])
        return dict(inputs=dict(points=torch.from_numpy(points)), data_samples=sample)


def toy_model_cfg(width: int = 16, kind: str = 'ToyPretrainer') -> dict:
    """Config of the toy pretrainer."""
    return dict(type=kind, point_encoder=dict(type='ToyEncoder', width=width))


TOY_CONFIG = """
model = dict(point_encoder=dict(type='ToyEncoder', width={width}), type='{kind}')
probe = dict(
    train_dataset=dict(size=24, type='ToyShapes'),
    test_dataset=dict(size=12, type='ToyShapes'),
    seeds=(0, 1, 2), batch_size=8)
custom_imports = dict(allow_failed_imports=False, imports=['toy_parts'])
"""


def save_toy_checkpoint(path, width: int = 16, kind: str = 'ToyPretrainer', **record) -> dict:
    """Write what a training of the toy pretrainer would write; returns its state dict."""
    torch.manual_seed(3)
    model = MODELS.build(toy_model_cfg(width, kind))
    meta = dict(
        cfg=TOY_CONFIG.format(width=width, kind=kind),
        mm3dpretrain=dict(
            method=kind,
            gravity_axis='y',
            normalization='unit_sphere',
            point_channels=['x', 'y', 'z'],
            transfer_modules={'point': 'point_encoder'},
            **record,
        ),
    )
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return model.state_dict()
