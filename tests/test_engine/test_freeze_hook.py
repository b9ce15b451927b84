"""Frozen parts stay as they are while the rest learns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mm3dpretrain.engine.hooks import FreezePartsHook


class Small(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.decoder = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)

    def forward(self, inputs, mode='tensor'):
        out = self.head(self.decoder(self.encoder(inputs)))
        return dict(loss=out.square().mean()) if mode == 'loss' else out


@pytest.mark.parametrize('parts', [('encoder',), ('encoder', 'decoder')])
def test_only_the_rest_learns(tmp_path, parts):
    torch.manual_seed(0)
    model = Small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    runner = Runner(
        model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=[torch.rand(3) for _ in range(8)],
            batch_size=4,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.1)),
        custom_hooks=[dict(type='mm3dpretrain.FreezePartsHook', parts=parts)],
        default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook')),
        log_level='ERROR',
        default_scope='mm3dpretrain',
        experiment_name=f'freeze_{len(parts)}',
    )
    runner.train()
    for key, value in model.state_dict().items():
        assert value.equal(before[key]) == key.startswith(parts), key


def test_bad_parts():
    with pytest.raises(ValueError, match='needs parts'):
        FreezePartsHook([])
    hook = FreezePartsHook(['neck'])
    with pytest.raises(AttributeError, match='neck'):
        hook.before_train(SimpleNamespace(model=Small()))
