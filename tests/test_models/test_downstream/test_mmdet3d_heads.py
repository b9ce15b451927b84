"""The adapter inside mmdet3d's own detectors and segmentors: load, step, predict, on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope

from mm3dpretrain.models.encoders import PointTransformer
from mm3dpretrain.utils import prepare_runtime

mmdet3d = pytest.importorskip('mmdet3d.registry')

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/downstream/mmdet3d'
TINY = dict(
    num_groups=64,
    group_size=16,
    encoder_dim=32,
    embed_dim=24,
    depth=2,
    num_heads=2,
    hidden_dims=(16, 16, 32),
    drop_path_rate=0.0,
)


@pytest.fixture(autouse=True)
def scope():
    yield
    init_default_scope('mm3dpretrain')


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(5)
    encoder = PointTransformer(**TINY)
    encoder.init_weights()
    path = tmp_path / 'pretrain.pth'
    state = {f'point_encoder.{k}': v for k, v in encoder.state_dict().items()}
    torch.save(dict(state_dict=state, meta={}), path)
    return path


def build(name: str, checkpoint, **model):
    """The config's own network with a small encoder, initialised as the runner does it."""
    cfg = prepare_runtime(CONFIGS / name)
    cfg.merge_from_dict({f'model.{key}': value for key, value in model.items()})
    cfg.model.backbone.update(TINY)
    if cfg.model.backbone.get('init_cfg'):
        cfg.model.backbone.init_cfg.checkpoint = str(checkpoint)
    torch.manual_seed(0)
    network = mmdet3d.MODELS.build(cfg.model)
    network.init_weights()
    return network


def room(seed: int = 0, num_points: int = 2048, channels: int = 4):
    """Points around two boxes, the inputs and data sample of an indoor detector."""
    from mmdet3d.structures import DepthInstance3DBoxes, Det3DDataSample, PointData
    from mmengine.structures import InstanceData

    generator = torch.Generator().manual_seed(seed)
    boxes = torch.tensor([[1.0, 1.0, 0.5, 0.8, 0.6, 1.0, 0.0], [3.0, 2.0, 0.4, 1.0, 1.0, 0.8, 0.0]])
    points = 4 * torch.rand(num_points, channels, generator=generator)
    instance = torch.zeros(num_points, dtype=torch.long)
    third = num_points // 3
    for number, box in enumerate(boxes):
        rows = slice(number * third, (number + 1) * third)
        spread = torch.rand(third, 3, generator=generator) - 0.5
        points[rows, :3] = box[:3] + spread * box[3:6]
        instance[rows] = number + 1
    sample = Det3DDataSample()
    sample.set_metainfo(dict(box_type_3d=DepthInstance3DBoxes, box_mode_3d=2))
    sample.gt_instances_3d = InstanceData(
        bboxes_3d=DepthInstance3DBoxes(boxes, origin=(0.5, 0.5, 0.5)),
        labels_3d=torch.tensor([2, 4]),
    )
    semantic = torch.tensor([18, 2, 4])[instance]
    sample.gt_pts_seg = PointData(pts_semantic_mask=semantic, pts_instance_mask=instance)
    return points, sample


def train(network, batch, steps: int, term: str) -> list[float]:
    """Values of one term of the loss over some steps."""
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(steps):
        data = network.data_preprocessor(batch(), training=True)
        terms = network(**data, mode='loss')
        loss, _ = network.parse_losses(terms)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10)  # as the configs do
        optimizer.step()
        losses.append(terms[term].item())
    return losses


@pytest.mark.parametrize(
    'name',
    [
        'votenet_pointtransformer_8xb8-36e_scannet_ft.py',
        'votenet_pointtransformer_8xb16-36e_sunrgbd_ft.py',
        'groupfree3d_pointtransformer_4xb8-80e_scannet_ft.py',
    ],
)
def test_detector_loads_learns_and_predicts(name, checkpoint):
    smaller = {'backbone.num_seeds': 256}
    if 'groupfree3d' in name:
        smaller.update({'bbox_head.num_decoder_layers': 3, 'bbox_head.num_proposal': 48})
    network = build(name, checkpoint, **smaller)
    weights = torch.load(checkpoint)['state_dict']
    for key, value in network.backbone.state_dict().items():
        if not key.startswith('seed_propagation'):
            assert torch.equal(value, weights[f'point_encoder.{key}']), key

    channels = 3 if 'groupfree3d' in name else 4

    def batch():
        points, samples = zip(*[room(seed, channels=channels) for seed in range(2)])
        return dict(inputs=dict(points=list(points)), data_samples=list(samples))

    # the terms of the proposals jump with the few that happen to hit: take the one of all seeds
    term = 'sampling_objectness_loss' if 'groupfree3d' in name else 'vote_loss'
    losses = train(network.train(), batch, 30, term)
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4]), losses
    network.eval()
    # one scene: GroupFree3D's head mixes up the results of larger batches
    points, sample = room(0, channels=channels)
    with torch.no_grad():
        data = dict(inputs=dict(points=[points]), data_samples=[sample])
        data = network.data_preprocessor(data, training=False)
        (result,) = network(**data, mode='predict')
    found = result.pred_instances_3d
    assert len(found.bboxes_3d) == len(found.scores_3d) == len(found.labels_3d)
    assert torch.isfinite(found.bboxes_3d.tensor).all()


@pytest.mark.parametrize('stage', ['lin', 'dec', 'ft', 'scratch'])
def test_segmentor_loads_learns_and_predicts(stage, checkpoint):
    name = f'pointnet2head_pointtransformer_2xb16-200e_scannet-seg_{stage}.py'
    width = 2 * TINY['embed_dim']
    head = ((width, 128),) if stage == 'lin' else ((width, 64, 128),)
    network = build(
        name, checkpoint, **{'backbone.out_indices': (0, 1), 'decode_head.fp_channels': head}
    )
    weight = network.backbone.blocks.layers[0].attn.qkv.weight
    loaded = torch.load(checkpoint)['state_dict']['point_encoder.blocks.layers.0.attn.qkv.weight']
    assert torch.equal(weight, loaded) == (stage != 'scratch')
    before = weight.detach().clone()

    def batch():
        points, samples = zip(*[room(seed, channels=6) for seed in range(2)])
        return dict(inputs=dict(points=list(points)), data_samples=list(samples))

    losses = train(network.train(), batch, 8, 'decode.loss_sem_seg')
    assert losses[-1] < 0.8 * losses[0], losses
    assert torch.equal(weight, before) == (stage in ('lin', 'dec'))
    network.eval()
    with torch.no_grad():
        logits = network.encode_decode(torch.stack(batch()['inputs']['points']), None)
    assert logits.shape == (2, 20, 2048)
