"""Two optimisers with their own schedules go on where a killed run stopped."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mm3dpretrain.models.pretrainers import BasePretrainer
from mm3dpretrain.registry import DATASETS, HOOKS, MODELS


@DATASETS.register_module()
class EightRows(BaseDataset):
    def load_data_list(self):
        return [dict(value=i) for i in range(8)]

    def __getitem__(self, index):
        row = torch.full((3,), float(self.get_data_info(index)['value']) / 8)
        return dict(inputs=dict(points=row[None]), data_samples=None)


@MODELS.register_module()
class TwoBranches(BasePretrainer):
    def __init__(self, data_preprocessor=None, init_cfg=None):
        super().__init__(data_preprocessor, init_cfg)
        self.point_encoder = nn.Linear(3, 4)
        self.img_encoder = nn.Linear(3, 4)

    def extract_feat(self, inputs, data_samples=None):
        rows = inputs['points'][:, 0]
        return {'global': self.point_encoder(rows) * self.img_encoder(rows)}

    def loss(self, inputs, data_samples=None):
        return {'loss_fit': (self.extract_feat(inputs)['global'] - 1).square().mean()}


class Stopped(Exception):
    pass


@HOOKS.register_module()
class StopHook(Hook):
    priority = 'LOWEST'

    def __init__(self, at: int):
        self.at = at

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.at:
            raise Stopped


@HOOKS.register_module()
class RateHook(Hook):
    """What every step was taken with."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.rates = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        rates = runner.optim_wrapper.get_lr()
        self.rates[runner.iter] = (rates['point.lr'][0], rates['image.lr'][0])


def train(folder, stop_at=None, resume=False, counts=1):
    hooks = [dict(type='RateHook')]
    if stop_at:
        hooks.append(dict(type='StopHook', at=stop_at))
    common = dict(accumulative_counts=counts)
    cfg = Config(
        dict(
            default_scope='mm3dpretrain',
            model=dict(type='TwoBranches'),
            train_dataloader=dict(
                batch_size=2,
                num_workers=0,
                dataset=dict(type='EightRows'),
                sampler=dict(type='SeededSampler'),
            ),
            train_cfg=dict(type='ResumableTrainLoop', max_epochs=4),
            optim_wrapper=dict(
                constructor='MultiOptimWrapperConstructor',
                point=dict(
                    modules=['point_encoder'],
                    optimizer=dict(type='AdamW', lr=0.01, betas=(0.95, 0.99), weight_decay=0.01),
                    **common,
                ),
                image=dict(
                    modules=['*'], optimizer=dict(type='SGD', lr=0.1, momentum=0.9), **common
                ),
            ),
            param_scheduler=dict(
                point=[dict(type='ExponentialLR', gamma=0.5, by_epoch=True)],
                image=[dict(type='StepLR', step_size=3, gamma=0.1, by_epoch=True)],
            ),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
            custom_hooks=hooks,
            randomness=dict(seed=5),
            work_dir=str(folder),
            experiment_name=f'{folder.name}-{len(list(folder.parent.iterdir()))}',
            log_level='ERROR',
            resume=resume,
        )
    )
    runner = Runner.from_cfg(cfg)
    rates = next(hook for hook in runner.hooks if isinstance(hook, RateHook)).rates
    if stop_at:
        with pytest.raises(Stopped):
            runner.train()
    else:
        runner.train()
    return runner, rates


@pytest.mark.parametrize('counts', [1, 2])
def test_schedules_and_states_are_resumed(tmp_path, counts):
    whole, expected = train(tmp_path / 'whole', counts=counts)
    assert [expected[4 * epoch] for epoch in range(4)] == [
        pytest.approx((0.01 * 0.5**epoch, 0.1 if epoch < 3 else 0.01)) for epoch in range(4)
    ]
    _, before = train(tmp_path / 'killed', stop_at=3, counts=counts)
    resumed, after = train(tmp_path / 'killed', resume=True, counts=counts)
    assert max(before) == 11 and min(after) == 12
    for step, rates in after.items():
        assert rates == pytest.approx(expected[step])
    for (name, value), other in zip(
        whole.model.state_dict().items(), resumed.model.state_dict().values()
    ):
        torch.testing.assert_close(other, value, rtol=0, atol=0, msg=name)
    for name in ('point', 'image'):
        states = [str(r.optim_wrapper[name].optimizer.state_dict()) for r in (whole, resumed)]
        assert states[0] == states[1]
