from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mm3dpretrain.models.encoders.open_clip_models import build_open_clip
from mm3dpretrain.registry import MODELS

clip = pytest.importorskip('open_clip')
MODEL = dict(
    embed_dim=16,
    vision_cfg=dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16),
    text_cfg=dict(context_length=12, width=16, heads=2, layers=1),
)


def teacher(**kwargs):
    return MODELS.build(dict(type='CLIPTeacher', **dict(dict(model=MODEL), **kwargs)))


@pytest.fixture(scope='module')
def state_file(tmp_path_factory):
    torch.manual_seed(3)
    network = build_open_clip(MODEL)
    path = tmp_path_factory.mktemp('clip') / 'clip.pt'
    torch.save(network.state_dict(), path)
    return path, network.eval()


def test_embeddings_are_those_of_the_network(state_file):
    path, network = state_file
    frozen = teacher(weights=str(path)).train()
    img = torch.randn(3, 3, 32, 32)
    texts = ['a red chair', 'a bus']
    tokens = frozen.tokenize(texts)
    assert tokens.shape == (2, 12) and tokens.dtype == torch.long
    with torch.no_grad():
        wanted = network.encode_image(img)
        wanted_text = network.encode_text(tokens)
    found = frozen.encode_image(img)
    assert torch.allclose(found, wanted / wanted.norm(dim=1, keepdim=True), atol=1e-6)
    assert torch.allclose(found.norm(dim=1), torch.ones(3))
    text = frozen.encode_texts(texts)
    assert torch.allclose(text, wanted_text / wanted_text.norm(dim=1, keepdim=True), atol=1e-6)
    assert frozen.embed_dim == 16 and found.shape == (3, 16)
    assert frozen.encode_texts([]).shape == (0, 16)


def test_teacher_is_a_guest_in_its_model(state_file):
    model = nn.Sequential(nn.Linear(2, 2), teacher(weights=str(state_file[0]))).train()
    assert set(model.state_dict()) == {'0.weight', '0.bias'}
    assert len(list(model.parameters())) == 2
    assert not model[1].network.training
    assert not any(p.requires_grad for p in model[1].network.parameters())
    assert not model[1].encode_image(torch.zeros(1, 3, 32, 32)).requires_grad


def test_identity_is_that_of_weights_and_preprocessing(state_file, tmp_path):
    path, network = state_file
    same = tmp_path / 'epoch_1.pth'
    state = {f'clip.{key}': value for key, value in network.state_dict().items()}
    torch.save(dict(state_dict=state, meta={}), same)
    first = teacher(weights=str(path))
    again = teacher(weights=str(same), prefix='clip')
    assert first.identity == again.identity
    assert torch.equal(first.encode_texts(['bus']), again.encode_texts(['bus']))
    other = teacher(weights=str(path), pixel_mean=[127.5] * 3, pixel_std=[127.5] * 3)
    assert other.identity != first.identity
    state['clip.logit_scale'] = state['clip.logit_scale'] + 1
    torch.save(dict(state_dict=state), same)
    assert teacher(weights=str(same), prefix='clip').identity != first.identity


def test_safetensors_and_image_tower_alone(state_file, tmp_path):
    path, network = state_file
    torch_save = pytest.importorskip('safetensors.torch').save_file
    torch_save(
        {k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / 'a.safetensors'
    )
    whole = teacher(weights=str(tmp_path / 'a.safetensors'))
    tower = {key: value for key, value in MODEL.items() if key != 'text_cfg'}
    alone = teacher(model=tower, weights=str(path))
    img = torch.randn(2, 3, 32, 32)
    assert torch.equal(alone.encode_image(img), whole.encode_image(img))
    assert not alone.has_text
    with pytest.raises(RuntimeError, match='no text tower'):
        alone.encode_text(torch.zeros(1, 12, dtype=torch.long))


def test_preprocess_is_that_of_open_clip():
    image = pytest.importorskip('PIL.Image')
    frozen = teacher()
    rng = np.random.default_rng(0)
    # smooth, as pictures are
    small = rng.integers(0, 255, (2, 5, 7, 3)).astype(np.uint8)
    views = np.stack([np.asarray(image.fromarray(v).resize((70, 50), 3)) for v in small])
    wanted = clip.image_transform(
        32, is_train=False, mean=clip.OPENAI_DATASET_MEAN, std=clip.OPENAI_DATASET_STD
    )
    wanted = torch.stack([wanted(image.fromarray(view)) for view in views])
    found = frozen.preprocess(views)
    assert found.shape == wanted.shape == (2, 3, 32, 32)
    # PIL rounds to whole grey levels
    assert (found - wanted).abs().max() < 3 / 66
    exact = frozen.preprocess(np.full((1, 32, 32, 3), 255, np.uint8))
    white = (1 - torch.tensor(clip.OPENAI_DATASET_MEAN)) / torch.tensor(clip.OPENAI_DATASET_STD)
    assert torch.allclose(exact[0, :, 4, 9], white, atol=1e-5)


def test_statistics_follow_the_weights():
    assert teacher().pixel_mean == pytest.approx([255 * v for v in clip.OPENAI_DATASET_MEAN])
    from mm3dpretrain.models.encoders.open_clip_models import pixel_statistics

    # this tag of this model was trained with other numbers than its siblings
    assert pixel_statistics('ViT-L-14', 'laion2b_s32b_b82k')[0] == pytest.approx([127.5] * 3)
    assert pixel_statistics('ViT-L-14', 'x.pt')[0] == pytest.approx(teacher().pixel_mean)
    assert pixel_statistics('ViT-B-16-SigLIP', 'x.pt')[1] == pytest.approx([127.5] * 3)


def test_activation_follows_the_weights():
    """OpenAI's weights need another GELU than the model of that name has by default."""
    from open_clip.transformer import QuickGELU

    from mm3dpretrain.models.encoders.open_clip_models import needs_quick_gelu

    network = teacher(model='ViT-B-32', weights='openai').network
    assert any(isinstance(module, QuickGELU) for module in network.modules())
    assert not needs_quick_gelu('ViT-B-32', 'laion2b_s34b_b79k')
    assert not needs_quick_gelu(MODEL, 'openai') and not needs_quick_gelu('ViT-B-32', None)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(model='ViT-B32'), 'similar ones.*ViT-B-32'),
        (dict(model='ViT-B-32', weights='laion2b_s34b'), 'laion2b_s34b_b79k'),
        (dict(model=dict(embed_dim=3)), 'vision_cfg'),
        (dict(model=dict(MODEL, depth=3)), 'depth'),
        (dict(model=dict(MODEL, text_cfg=dict(wide=3))), 'wide'),
    ],
)
def test_unknown_names_have_near_ones(kwargs, message):
    with pytest.raises(ValueError, match=message):
        teacher(**kwargs)


def test_wrong_weights_are_refused(state_file, tmp_path, monkeypatch):
    late = teacher(weights=str(tmp_path / 'none.pt'))  # built without its weights
    with pytest.raises(FileNotFoundError, match='none.pt'):
        late.encode_texts(['a'])
    with pytest.raises(FileNotFoundError, match='none.pt'):
        late.init_weights()
    wider = dict(MODEL, embed_dim=24)
    with pytest.raises(RuntimeError, match='another width'):
        teacher(model=wider, weights=str(state_file[0])).encode_texts(['a'])
    with pytest.raises(ValueError, match='32, 32'):
        teacher().encode_image(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match='V, H, W, 3'):
        teacher().preprocess(np.zeros((3, 32, 32), np.uint8))

    hub = teacher()
    hub.model, hub.weights, hub._loaded = 'ViT-B-32', 'laion2b_s34b_b79k', False

    def unreachable(*args, **kwargs):
        raise OSError('no route to host')

    monkeypatch.setattr(clip, 'create_model', unreachable)
    with pytest.raises(RuntimeError, match='no route to host.*give its path'):
        hub.encode_image(torch.zeros(1, 3, 32, 32))


@pytest.mark.gpu
def test_teacher_follows_its_model_to_the_gpu(state_file):
    model = nn.Sequential(teacher(weights=str(state_file[0])))
    img, texts = torch.randn(4, 3, 32, 32), ['a chair', 'a bus']
    here, there = model[0].encode_image(img), model[0].encode_texts(texts)
    model.to('cuda')
    assert torch.allclose(model[0].encode_image(img.cuda()).cpu(), here, atol=1e-3)
    found = model[0].encode_texts(texts)
    assert found.is_cuda and torch.allclose(found.cpu(), there, atol=1e-3)
    assert model[0].preprocess(np.zeros((1, 32, 32, 3), np.uint8)).is_cuda
