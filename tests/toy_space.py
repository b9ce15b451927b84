"""A small MRD checkpoint and a text space for tests of zero-shot classification and retrieval."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
import toy_parts  # noqa: F401
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

DIM = 12


@MODELS.register_module(force=True)
class ToySpace(nn.Module):
    """Every text has a fixed random embedding; a picture that of its mean colour."""

    embed_dim = DIM

    def __init__(self, identity: str = 'toy', dim: int = DIM) -> None:
        super().__init__()
        self.identity, self.embed_dim = identity, dim

    def encode_texts(self, texts):
        rows = [
            np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.embed_dim)
            for text in texts
        ]
        return F.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=1)


@MODELS.register_module(force=True)
class ToyCLIPSpace(ToySpace):
    """With pictures."""

    def preprocess(self, views):
        return torch.as_tensor(views).permute(0, 3, 1, 2).float() / 255

    def encode_image(self, img):
        return F.normalize(img.mean((2, 3)).repeat(1, self.embed_dim // 3), dim=1)


def toy_config(num_points: int = 64) -> Config:
    """A model of coloured points, and the pipeline it was trained with."""
    pipeline = [
        dict(type='LoadPoints'),
        dict(type='SamplePoints', num_points=num_points),
        dict(type='NormalizePoints', center='bbox'),
        dict(type='RandomRotate', axis='gravity'),
        dict(type='FillColors', drop_prob=0.5),
        dict(type='PackTriplets'),
    ]
    return Config(
        dict(
            default_scope='mm3dpretrain',
            custom_imports=dict(imports=['toy_parts']),
            model=dict(
                type='MRD',
                embed_dim=DIM,
                point_encoder=dict(type='ToyEncoder', in_channels=6),
                alignment=dict(type='MultiModalAlignmentLoss'),
            ),
            train_dataloader=dict(dataset=dict(type='UserFolder', pipeline=pipeline)),
        )
    )


def write_toy_checkpoint(path: Path, num_points: int = 64, **record) -> Path:
    """A checkpoint as a training writes it; ``record`` goes into its meta information."""
    torch.manual_seed(0)
    config = toy_config(num_points)
    model = MODELS.build(config.model)
    meta = dict(
        method='MRD', gravity_axis='y', normalization='unit_sphere',
        point_channels=['x', 'y', 'z', 'r', 'g', 'b'],
    )  # fmt: skip
    meta = {'cfg': config.pretty_text, 'mm3dpretrain': {**meta, **record}}
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


def write_shapes(folder: Path, count: int = 6) -> list[Path]:
    """Clouds of random boxes as text files and one mesh."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        path = folder / f'kind{index % 2}' / f'shape{index}.xyz'
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, rng.uniform(-1, 1, (150, 3)) * rng.uniform(0.2, 1, 3), fmt='%.4f')
        paths.append(path)
    mesh = folder / 'kind0' / 'tetra.off'
    mesh.write_text('OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 2\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n')
    return [*paths, mesh]
