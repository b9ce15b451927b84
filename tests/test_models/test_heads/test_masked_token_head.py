import pytest
import torch
from golden_weights import assert_close, converter, golden_state_dict, load, part
from torch.nn import functional as F

from mm3dpretrain.models.encoders import Patches, PointTransformer
from mm3dpretrain.models.heads import MaskedTokenHead, ProjectionHead
from mm3dpretrain.models.pretrainers import PointDVAE


def test_only_masked_patches_count():
    head = MaskedTokenHead(8, 16)
    tokens = torch.randn(2, 6, 8, requires_grad=True)
    targets = torch.randint(16, (2, 6))
    mask = torch.zeros(2, 6, dtype=torch.bool)
    mask[0, 1] = mask[1, 4] = mask[1, 5] = True
    loss = head.loss(tokens, targets, mask)
    expected = sum(F.cross_entropy(head(tokens[b, g]), targets[b, g]) for b, g in mask.nonzero())
    torch.testing.assert_close(loss, expected / 3)
    loss.backward()
    assert not tokens.grad[~mask].any() and tokens.grad[mask].any(dim=-1).all()
    changed = torch.where(mask, targets, (targets + 1) % 16)
    torch.testing.assert_close(head.loss(tokens, changed, mask), loss, rtol=0, atol=0)


def test_accuracy():
    head = MaskedTokenHead(16, 16)
    head.classifier.weight.data = torch.eye(16)
    targets = torch.arange(6).view(1, 6)
    tokens = F.one_hot(targets, 16).float()
    mask = torch.tensor([[True, True, True, True, False, False]])
    assert head.accuracy(tokens, targets, mask) == 1
    assert head.accuracy(tokens, torch.tensor([[0, 1, 9, 9, 9, 9]]), mask) == 0.5


def test_initial_weights():
    head = MaskedTokenHead(64, 32)
    head.init_weights()
    assert head.mask_token.shape == (1, 1, 64) and 0.01 < head.mask_token.std() < 0.03
    assert not head.classifier.bias.any()


def test_nothing_masked_is_an_error():
    head = MaskedTokenHead(8, 16)
    mask = torch.zeros(2, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match=r'no patch of \(2, 6\) is masked'):
        head.loss(torch.randn(2, 6, 8), torch.zeros(2, 6, dtype=torch.long), mask)


def test_step_equals_point_bert(golden, golden_json):
    """Tokens, masked-token loss (plain and mixed clouds) and contrast features of a whole step."""
    expected = golden('point_bert/pretrain_losses_small.npz')
    config = golden_json('point_bert/pretrain_losses_small_config.json')
    state = converter('pointbert_to_mm3d').convert(golden_state_dict(config))[1].state_dict
    encoder_state = part(state, 'point_encoder.')
    dim = encoder_state['cls_token'].shape[-1]
    num_tokens, token_dim = state['tokenizer.codebook'].shape
    encoder_dim = encoder_state['patch_embed.reduce.weight'].shape[1]
    encoder = load(
        PointTransformer(
            num_groups=24,
            group_size=16,
            encoder_dim=encoder_dim,
            embed_dim=dim,
            depth=1 + max(int(k.split('.')[2]) for k in encoder_state if 'blocks' in k),
            num_heads=3,
        ),
        encoder_state,
    )
    decoder_dim = state['tokenizer.decoder.mlp.0.weight'].shape[1]
    tokenizer = load(
        PointDVAE(24, 16, encoder_dim, num_tokens, token_dim, decoder_dim, frozen=True),
        part(state, 'tokenizer.'),
    )
    head = load(MaskedTokenHead(dim, num_tokens), part(state, 'token_head.'))
    width = state['moco_head.fc1.weight'].shape[0]
    moco = load(
        ProjectionHead(dim, width, width, norm=False, activation='gelu'), part(state, 'moco_head.')
    )

    patches = encoder.group(torch.from_numpy(expected['points']))
    tokens = tokenizer.tokenize(patches)
    assert (tokens.numpy() == expected['dvae_labels']).all()
    keep = torch.from_numpy(expected['mix_keep'])

    def mix(x):
        return torch.where(keep.view(*keep.shape, *[1] * (x.dim() - 2)), x, x.flip(0))

    mixed = Patches(*map(mix, patches))
    mask_query = torch.from_numpy(expected['mask_query'])
    mask_mix = torch.from_numpy(expected['mask_mix'])
    query = encoder.forward_patches(patches, mask_query, head.mask_token)
    other = encoder.forward_patches(mixed, mask_mix, head.mask_token)
    loss = head.loss(query['local'], tokens, mask_query)
    loss = loss + head.loss(other['local'], mix(tokens), mask_mix)
    assert_close(loss, expected['loss_dvae'])
    assert_close(moco(query['cls']), expected['cls_query'])
    assert_close(moco(other['cls']), expected['cls_mix'])
