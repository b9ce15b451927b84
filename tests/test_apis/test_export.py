import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from toy_parts import TOY_CONFIG, ToyEncoder, save_toy_checkpoint

from mm3dpretrain.apis import export, export_backbone
from mm3dpretrain.registry import MODELS

TARGET = """
custom_imports = dict(imports=['toy_parts'])
model = dict(
    type='PointClassifier',
    backbone=dict(type='ToyEncoder', width={width},
                  init_cfg=dict(type='Pretrained', checkpoint='not_here.pth')),
    head=dict(type='ClassificationHead', in_channels={width}, num_classes=5))
"""


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    save_toy_checkpoint(path)
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'export' / 'encoder.pth'


def write(tmp_path, text, name='target.py'):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_bare_weights_with_meta(checkpoint, out):
    result = export_backbone(checkpoint, out)
    saved = torch.load(checkpoint)['state_dict']
    written = torch.load(out, weights_only=True)
    assert set(written['state_dict']) == set(ToyEncoder().state_dict())
    for key, value in written['state_dict'].items():
        assert torch.equal(value, saved[f'point_encoder.{key}'])
    record = written['meta']['mm3dpretrain']
    assert record['gravity_axis'] == 'y' and record['module'] == 'point'
    assert record['encoder'] == dict(type='ToyEncoder', width=16)
    assert result.features_equal is True
    assert (len(result.report.matched), result.report.missing, result.report.unexpected) == (
        9,
        [],
        [],
    )
    assert '9 matched, 0 missing, 0 unexpected' in str(result) and 'bit-equal' in str(result)
    assert result.to_dict()['matched'] == 9


def test_exported_file_fills_an_encoder(checkpoint, out):
    export_backbone(checkpoint, out)
    init_cfg = dict(type='Pretrained', checkpoint=str(out))
    encoder = MODELS.build(dict(type='ToyEncoder', init_cfg=init_cfg))
    encoder.init_weights()
    assert torch.equal(encoder.first.weight, torch.load(out)['state_dict']['first.weight'])


def test_target_config(tmp_path, checkpoint, out):
    result = export_backbone(checkpoint, out, target=write(tmp_path, TARGET.format(width=16)))
    assert result.target == 'ToyEncoder' and result.features_equal is True


def test_whole_model_as_target(tmp_path, checkpoint, out):
    text = "model = dict(type='mm3dpretrain.ToyEncoder')\ndefault_scope = 'mmengine'\n"
    result = export_backbone(checkpoint, out, target=write(tmp_path, text))
    assert result.features_equal is True
    assert DefaultScope.get_current_instance().scope_name == 'mm3dpretrain'


@pytest.mark.parametrize('module', [None, 'point'])
def test_another_width_writes_nothing(tmp_path, checkpoint, out, module):
    target = write(tmp_path, TARGET.format(width=20))
    with pytest.raises(RuntimeError, match=r'(?s)another width.*\(20, 3\), found \(16, 3\)'):
        export_backbone(checkpoint, out, module, target=target)
    assert not list(out.parent.glob('*'))


def test_nothing_matches_writes_nothing(tmp_path, checkpoint, out):
    head = "dict(type='ClassificationHead', in_channels=4, num_classes=5, hidden_channels=())"
    with pytest.raises(RuntimeError, match='(?s)matches no weight.*0 matched'):
        export_backbone(checkpoint, out, target=write(tmp_path, f'model = {head}'))
    assert not list(out.parent.glob('*'))


def test_target_with_more_weights_is_reported(tmp_path, checkpoint, out):
    @MODELS.register_module(name='WiderToy', force=True)
    class WiderToy(ToyEncoder):
        def __init__(self):
            super().__init__()
            self.extra = torch.nn.Linear(2, 2)

    target = write(tmp_path, "model = dict(backbone=dict(type='WiderToy'))")
    result = export_backbone(checkpoint, out, target=target)
    assert result.report.missing == ['extra.weight', 'extra.bias']
    assert result.features_equal is None and 'missing: extra.weight, extra.bias' in str(result)


def test_other_settings_with_the_same_weights_are_found_out(tmp_path, checkpoint, out):
    @MODELS.register_module(name='DoubledToy', force=True)
    class DoubledToy(ToyEncoder):
        def forward(self, points):
            return {'global': 2 * super().forward(points)['global']}

    target = write(tmp_path, "model = dict(backbone=dict(type='DoubledToy'))")
    with pytest.raises(RuntimeError, match='other features'):
        export_backbone(checkpoint, out, target=target)
    assert not list(out.parent.glob('*'))


def test_unknown_module_and_files(tmp_path, checkpoint, out):
    with pytest.raises(ValueError, match=r"no module 'image' in ToyPretrainer: it has \['point'\]"):
        export_backbone(checkpoint, out, 'image')
    with pytest.raises(FileNotFoundError, match='no.pth'):
        export_backbone(tmp_path / 'no.pth', out)
    with pytest.raises(FileNotFoundError, match='no.py'):
        export_backbone(checkpoint, out, target=tmp_path / 'no.py')


def test_checkpoint_without_that_encoder(tmp_path, out):
    path = tmp_path / 'head_only.pth'
    torch.save(dict(state_dict={'head.bias': torch.zeros(3)}), path)
    config = write(tmp_path, TOY_CONFIG.format(width=16, kind='ToyPretrainer'))
    with pytest.raises(RuntimeError, match="no weights below 'point_encoder.'"):
        export_backbone(path, out, config=config)


def test_fixed_inputs():
    encoder = ToyEncoder()
    encoder.in_channels = 6
    (points,) = export.fixed_inputs('point', encoder)
    assert points.shape == (2, 1024, 6)
    assert points[..., :3].norm(dim=-1).amax().item() == pytest.approx(1)
    assert torch.equal(points, export.fixed_inputs('point', encoder)[0])
    assert export.fixed_inputs('image', encoder)[0].shape == (2, 3, 64, 64)


def test_mmdet3d_builds_and_loads_the_exported_encoder(tmp_path):
    """Registry scope, init_cfg and features, as an mmdet3d user has them."""
    mmdet3d = pytest.importorskip('mmdet3d.registry')
    from mmengine.runner import save_checkpoint

    sizes = dict(num_groups=8, group_size=8, encoder_dim=16, embed_dim=24, depth=2, num_heads=2)
    source = MODELS.build(dict(type='PointTransformer', **sizes)).eval()
    source.init_weights()
    weights = {f'point_encoder.{k}': v for k, v in source.state_dict().items()}
    path = tmp_path / 'pretrain.pth'
    save_checkpoint(dict(state_dict=weights, meta={}), str(path))
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='point_encoder.')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        backbone = mmdet3d.MODELS.build(
            dict(type='mm3dpretrain.PointTransformer', init_cfg=init_cfg, **sizes)
        )
        backbone.init_weights()
    points = export.fixed_inputs('point', ToyEncoder())[0][:, :256]
    expected, found = source(points), backbone.eval()(points)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def test_target_config_of_mmdet3d(tmp_path):
    pytest.importorskip('mmdet3d.registry')
    pretrain = """
default_scope = 'mm3dpretrain'
model = dict(type='DRPoint', point_encoder={encoder}, point_decoder=dict(
    type='PointDecoder', embed_dim=24, depth=1, num_heads=2, group_size=8),
    token_head=dict(type='MaskedTokenHead', in_channels=24, num_tokens=8),
    chamfer_loss=dict(type='ChamferLoss'), modalities=['points'], loss_weights=dict(cd=1.0))
"""
    encoder = (
        "dict(type='{0}PointTransformer', num_groups=8, group_size=8, encoder_dim=16, "
        'embed_dim=24, depth=1, num_heads=2)'
    )
    config = write(tmp_path, pretrain.format(encoder=encoder.format('')), 'pretrain.py')
    target = """
default_scope = 'mmdet3d'
custom_imports = dict(imports=['mm3dpretrain'])
model = dict(type='VoteNet', backbone={encoder}, bbox_head=dict(type='NotBuiltHere'))
"""
    target = write(tmp_path, target.format(encoder=encoder.format('mm3dpretrain.')))
    from mmengine.config import Config

    model = MODELS.build(Config.fromfile(config).model)
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    result = export_backbone(path, tmp_path / 'out.pth', config=config, target=target)
    assert result.target == 'PointTransformer' and result.features_equal is True


TINY = dict(num_groups=8, group_size=8, encoder_dim=16, embed_dim=24, depth=1, num_heads=2)


def pretrained(tmp_path, encoder):
    """A checkpoint of a toy pretrainer with this encoder, and its config."""
    from mmengine.config import Config

    config = write(
        tmp_path,
        f"model = dict(type='ToyPretrainer', point_encoder={encoder!r})\n"
        "default_scope = 'mm3dpretrain'\ncustom_imports = dict(imports=['toy_parts'])\n",
        'pretrain.py',
    )
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path, config


def test_adapter_with_new_layers(tmp_path, out):
    path, config = pretrained(tmp_path, dict(type='PointTransformer', **TINY))
    adapter = dict(type='PointTransformerBackbone', num_seeds=16, fp_channels=(8,), **TINY)
    target = write(tmp_path, f'model = dict(backbone={adapter!r})')
    result = export_backbone(path, out, config=config, target=target)
    assert result.features_equal is True
    assert result.report.missing
    assert all(key.startswith('seed_propagation') for key in result.report.missing)
    adapter['num_groups'] = 4
    target = write(tmp_path, f'model = dict(backbone={adapter!r})')
    with pytest.raises(RuntimeError, match='other features'):
        export_backbone(path, out, config=config, target=target)


def test_backbone_inside_an_encoder(tmp_path, out):
    """mmdet3d's own backbone was trained: its bare weights come out, compared on voxels."""
    pytest.importorskip('mmdet3d.registry')
    unet = dict(
        type='mmdet3d.MinkUNetBackbone',
        in_channels=3,
        base_channels=8,
        num_stages=1,
        encoder_channels=[8],
        encoder_blocks=[1],
        decoder_channels=[8],
        decoder_blocks=[1],
        sparseconv_backend='spconv',
    )
    encoder = dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=unet)
    path, config = pretrained(tmp_path, encoder)
    target = write(tmp_path, f'model = dict(backbone={unet!r})')
    result = export_backbone(path, out, config=config, target=target)
    assert result.target == 'MinkUNetBackbone' and result.features_equal is True
    assert result.attribute == 'point_encoder.backbone' and not result.report.missing
    saved = torch.load(path)['state_dict']
    for key, value in torch.load(out)['state_dict'].items():
        assert torch.equal(value, saved[f'point_encoder.backbone.{key}'])


def lidar_target(tmp_path, kind, prefix, width=16, **settings):
    from toy_lidar import toy_detector

    model = {**toy_detector(kind, prefix, width), **settings}
    text = f"model = {model!r}\ndefault_scope = 'mmdet3d'\n"
    return write(tmp_path, text)


@pytest.mark.parametrize('kind', ['second', 'dynamic', 'pillars'])
@pytest.mark.parametrize('prefix', ['', 'pts_'])
def test_encoder_of_several_parts(tmp_path, out, kind, prefix):
    """Written under the names of the target, which fills itself from the file as a whole."""
    pytest.importorskip('mmdet3d.registry')
    from mmengine.config import Config
    from toy_lidar import toy_encoder

    path, config = pretrained(tmp_path, toy_encoder(kind))
    target = lidar_target(tmp_path, kind, prefix)
    result = export_backbone(path, out, config=config, target=target)
    assert result.features_equal is True
    assert not result.report.missing and not result.report.unexpected
    assert f'backbone -> {prefix}backbone' in str(result)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = Config.fromfile(target).model
        detector = MODELS.build(dict(model, init_cfg=dict(type='Pretrained', checkpoint=str(out))))
        detector.init_weights()
    saved = torch.load(path)['state_dict']
    own = detector.state_dict()
    moved = [key for key in saved if key.startswith('point_encoder.')]
    assert len(moved) == len(torch.load(out)['state_dict'])
    for key in moved:
        assert own[prefix + key.removeprefix('point_encoder.')].equal(saved[key]), key


def test_parts_that_do_not_fit_write_nothing(tmp_path, out):
    pytest.importorskip('mmdet3d.registry')
    from toy_lidar import toy_detector, toy_encoder

    path, config = pretrained(tmp_path, toy_encoder('pillars'))
    with pytest.raises(RuntimeError, match=r'(?s)another width.*neck\.deblocks'):
        target = lidar_target(tmp_path, 'pillars', 'pts_', width=20)
        export_backbone(path, out, config=config, target=target)
    backbone = dict(toy_detector('pillars')['backbone'], layer_nums=[1, 2])
    with pytest.raises(RuntimeError, match=r'(?s)only in part.*missing: backbone\.blocks\.1\.6'):
        target = lidar_target(tmp_path, 'pillars', '', backbone=backbone)
        export_backbone(path, out, config=config, target=target)
    with pytest.raises(RuntimeError, match="neither 'voxel_encoder' nor 'pts_voxel_encoder'"):
        export_backbone(path, out, config=config, target=write(tmp_path, 'model = dict(type="A")'))
    assert not list(out.parent.glob('*'))


def test_other_voxels_and_fusion_are_told(tmp_path, out):
    pytest.importorskip('mmdet3d.registry')
    from toy_lidar import toy_detector, toy_encoder

    path, config = pretrained(tmp_path, toy_encoder('dynamic'))
    model = toy_detector('dynamic', 'pts_')
    fusion = dict(type='PointFusion', img_channels=8, pts_channels=8, mid_channels=8,
                  out_channels=8, img_levels=0)  # fmt: skip
    encoder = dict(model['pts_voxel_encoder'], fusion_layer=fusion)
    target = lidar_target(tmp_path, 'dynamic', 'pts_', pts_voxel_encoder=encoder)
    result = export_backbone(path, out, config=config, target=target)
    assert result.features_equal is True
    assert 'pts_voxel_encoder.fusion_layer starts from random weights' in result.notes

    path, config = pretrained(tmp_path, toy_encoder('second'))
    cutter = toy_detector('second')['data_preprocessor']
    cutter['voxel_layer'] = dict(cutter['voxel_layer'], voxel_size=[0.2, 0.2, 0.2])
    target = lidar_target(tmp_path, 'second', '', data_preprocessor=cutter)
    result = export_backbone(path, out, config=config, target=target)
    assert any(note.startswith('voxel_size is [0.4, 0.4, 0.2]') for note in result.notes)


@pytest.mark.parametrize('name', ['backbone', 'img_backbone'])
def test_bare_image_backbone(tmp_path, out, name):
    """A backbone of mmdet without an adapter, whose ``eval`` returns nothing."""
    pytest.importorskip('mmdet3d.registry')
    resnet = dict(type='mmdet.ResNet', depth=18, base_channels=4, stem_channels=4)
    config = write(tmp_path, f"model = dict(type='SimIPU', img_encoder={resnet!r})", 'pretrain.py')
    path = tmp_path / 'epoch_1.pth'
    weights = {f'img_encoder.{k}': v for k, v in MODELS.build(resnet).state_dict().items()}
    meta = dict(mm3dpretrain=dict(transfer_modules=dict(image='img_encoder')))
    torch.save(dict(state_dict=weights, meta=meta), path)
    target = write(tmp_path, f"model = dict({name}={resnet!r})\ndefault_scope = 'mmdet3d'")
    result = export_backbone(path, out, config=config, target=target, target_module=name)
    assert result.target == 'ResNet' and result.features_equal is True


UNET = dict(
    type='mmdet3d.MinkUNetBackbone',
    in_channels=3,
    base_channels=8,
    num_stages=2,
    encoder_channels=[8, 12],
    encoder_blocks=[1, 1],
    decoder_channels=[12, 8],
    decoder_blocks=[1, 1],
    sparseconv_backend='spconv',
)
SSG = dict(
    type='mmdet3d.PointNet2SASSG',
    in_channels=3,
    num_points=(64, 32),
    radius=(0.3, 0.6),
    num_samples=(8, 8),
    sa_channels=((8, 16), (16, 24)),
    fp_channels=((20, 12),),
    norm_cfg=dict(type='BN2d'),
)
DENSE = dict(type='DensePointTransformer', propagation_channels=(8,), **TINY)
# encoder of the pre-training, what the target has, names of its decoder
SCOPED = [
    (dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=UNET), UNET, 'decoder.'),
    (dict(type='PointNet2Encoder', backbone=SSG), SSG, 'FP_modules.'),
    (DENSE, DENSE, 'propagation.'),
]


@pytest.mark.parametrize('encoder, backbone, decoder', SCOPED, ids=lambda x: str(x)[:28])
def test_scope_of_the_transfer(tmp_path, out, encoder, backbone, decoder):
    """The encoder alone, or with its decoder; either way it is said what came and what not."""
    pytest.importorskip('mmdet3d.registry')
    path, config = pretrained(tmp_path, encoder)
    target = write(tmp_path, f'model = dict(backbone={backbone!r})')
    whole = export_backbone(path, out, config=config, target=target)
    assert whole.features_equal is True and not whole.report.missing
    weights = torch.load(out)['state_dict']
    names = [key for key in weights if key.startswith(decoder)]
    assert names
    result = export_backbone(path, out, config=config, target=target, scope='encoder')
    assert set(torch.load(out)['state_dict']) == set(weights) - set(names)
    assert torch.load(out)['meta']['mm3dpretrain']['scope'] == 'encoder'
    assert sorted(result.report.missing) == sorted(names) and not result.report.unexpected
    assert len(result.report.matched) == len(weights) - len(names)
    assert result.features_equal is True
    assert f'{len(names)} weights of the decoder were left out' in str(result)


def test_scope_encoder_finds_other_settings_out(tmp_path, out):
    """Another radius: all weights of the encoder fit, and give other features."""
    pytest.importorskip('mmdet3d.registry')
    path, config = pretrained(tmp_path, dict(type='PointNet2Encoder', backbone=SSG))
    other = dict(SSG, radius=(0.1, 0.6), fp_channels=((16, 16),))
    target = write(tmp_path, f'model = dict(backbone={other!r})')
    with pytest.raises(RuntimeError, match='other features'):
        export_backbone(path, out, config=config, target=target, scope='encoder')
    target = write(
        tmp_path, "model = dict(type='ClassificationHead', in_channels=3, num_classes=2)"
    )
    with pytest.raises(RuntimeError, match='matches no weight'):
        export_backbone(path, out, config=config, target=target, scope='encoder')
    # another decoder is the target's affair
    other = dict(SSG, fp_channels=((16, 16),))
    target = write(tmp_path, f'model = dict(backbone={other!r})')
    assert export_backbone(path, out, None, config, target, scope='encoder').features_equal
    with pytest.raises(ValueError, match='scope must be one of encoder, encoder_decoder'):
        export_backbone(path, out, config=config, scope='decoder')


@pytest.mark.parametrize('scope', ['encoder', 'encoder_decoder'])
def test_init_cfg_with_a_scope(tmp_path, scope):
    """A raw pre-training checkpoint goes in without an export, by naming the parts."""
    mmdet3d = pytest.importorskip('mmdet3d.registry')
    path, _ = pretrained(tmp_path, dict(type='SparseUNetEncoder', voxel_size=0.1, backbone=UNET))
    names = ('conv_input', 'encoder') + (('decoder',) if scope == 'encoder_decoder' else ())
    parts = {f'backbone.{n}': f'point_encoder.backbone.{n}.' for n in names}

    def build(parts):
        torch.manual_seed(1)
        init_cfg = dict(type='mm3dpretrain.PretrainedParts', checkpoint=str(path), parts=parts)
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            model = mmdet3d.MODELS.build(
                dict(
                    type='MinkUNet',
                    backbone=copy.deepcopy(dict(UNET, type='MinkUNetBackbone')),
                    decode_head=dict(type='MinkUNetHead', channels=8, num_classes=3),
                    init_cfg=init_cfg,
                )
            )
            model.init_weights()
        return model

    saved = torch.load(path)['state_dict']
    own = build(parts).backbone.state_dict()
    for key, value in own.items():
        if value.is_floating_point() and value.dim() == 5:
            arrived = value.equal(saved[f'point_encoder.backbone.{key}'])
            assert arrived == (scope == 'encoder_decoder' or not key.startswith('decoder')), key
    with pytest.raises(RuntimeError, match='matches no weight'):
        build({'backbone.encoder': 'point_encoder.encoder.'})
