"""The configs of the object-level tasks train, test and report: small ones through the runner on a
few embedded shapes, full ones one step of the model on random points."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from mm3dpretrain.datasets.synthetic.writer import write_synthetic_shapes
from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample
from mm3dpretrain.utils import prepare_runtime

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'downstream'
TINY = 'pointtransformer-tiny_1xb'
SMALL = [
    *(f'part_seg/{TINY}16-40e_synthetic-parts_{kind}' for kind in ('lin', 'dec', 'scratch')),
    *(f'completion/{TINY}32-30e_synthetic-completion_{kind}' for kind in ('lin', 'dec', 'scratch')),
    f'few_shot/{TINY}32-60e_synthetic-fewshot_scratch',
    f'classification/{TINY}32-150e_synthetic-10pct_scratch',
]
EXPECTED = {
    'part_seg': {'part/instance_miou', 'part/class_miou', 'part/point_acc'},
    'completion': {'completion/cd_l1', 'completion/hard_cd_l2', 'completion/f_score@0.05'},
    'few_shot': {'accuracy/top1'},
    'classification': {'accuracy/top1', 'accuracy/class_mean'},
}


@pytest.fixture(scope='module')
def synthetic_root(tmp_path_factory) -> Path:
    """A few embedded shapes in ShapeNet's layout."""
    root = tmp_path_factory.mktemp('synthetic') / 'set'
    write_synthetic_shapes(
        root, categories=('chair', 'table', 'mug', 'vase', 'car'), train_per_class=10,
        test_per_class=3, views=0, num_points=1024, layouts=('shapenet',), workers=1,
    )  # fmt: skip
    return root


@pytest.mark.parametrize('name', SMALL, ids=lambda n: n.split('/')[1])
def test_small_config_trains_and_tests(name, synthetic_root, tmp_path):
    cfg = prepare_runtime(CONFIGS / f'{name}.py')
    cfg.model.backbone.init_cfg = None
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=4)
        for source in ('source', 'query_source'):
            if source in loader.dataset:
                loader.dataset[source].data_root = str(synthetic_root)
                loader.dataset.queries = 3
        if 'data_root' in loader.dataset:
            loader.dataset.update(data_root=str(synthetic_root), indices=8)
    cfg.train_cfg.max_epochs = 1
    cfg.param_scheduler = []
    cfg.default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
    cfg.update(work_dir=str(tmp_path), experiment_name=Path(name).stem, log_level='ERROR')
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = [p.detach().clone() for p in runner.model.parameters()]
    runner.train()
    moved = {
        key.split('.')[0]
        for (key, value), old in zip(runner.model.named_parameters(), before)
        if not torch.equal(value, old)
    }
    frozen = name.endswith(('lin', 'dec'))
    assert moved == ({'head'} if frozen else {'head', 'backbone'})
    metrics = runner.test()
    assert EXPECTED[name.split('/')[0]] <= set(metrics)
    assert all(torch.isfinite(torch.tensor(float(value))) for value in metrics.values())


FULL = [
    'part_seg/pointtransformer_1xb16-300e_shapenetpart_{}',
    'completion/pointtransformer_1xb32-300e_pcn_{}',
    'completion/pointtransformer_1xb32-300e_pcn-folding_{}',
]


@pytest.mark.parametrize(
    'name',
    [n.format('ft') for n in FULL] + [n.format('lin') for n in FULL[:2]],
    ids=lambda n: n.split('/')[1],
)
def test_full_model_steps(name):
    cfg = prepare_runtime(CONFIGS / f'{name}.py')
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).train()
    points = 0.5 * torch.rand(2, 2048, 3)
    samples = [
        PretrainDataSample(
            gt_label=torch.tensor([i]),
            gt_part=torch.randint(0, 4, (2048,)),
            gt_points=0.5 * torch.rand(512, 3),
        )
        for i in range(2)
    ]
    losses = model(dict(points=points), samples, mode='loss')
    total = sum(value for key, value in losses.items() if 'loss' in key)
    assert torch.isfinite(total)
    total.backward()
    learning = {n.split('.')[0] for n, p in model.named_parameters() if p.grad is not None}
    assert learning == ({'head'} if name.endswith('lin') else {'head', 'backbone'})
    if name.startswith('completion'):
        _, fine = model.eval()(dict(points=points))
        assert fine.shape == (2, 2048 if name.endswith('lin') else 16384, 3)
