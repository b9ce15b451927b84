import pytest
import torch

from mm3dpretrain.models.heads import FoldingDecoder


@pytest.mark.parametrize('training', [True, False])
def test_folding_equals_the_concatenation_it_stands_for(training):
    decoder = FoldingDecoder(12, 8).train(training)
    twin = FoldingDecoder(12, 8).train(training)
    twin.load_state_dict(decoder.state_dict())
    x = torch.randn(2, 5, 12)
    coarse, fine = decoder(x)
    rows = []
    for patch, points in zip(x.view(-1, 12), twin.mlp(x).view(-1, 2, 3)):
        for point in points:
            for b in (-0.05, 0.05):
                for a in (-0.05, 0.05):
                    rows.append((torch.cat([patch, torch.tensor([a, b]), point]), point))
    offset = twin.fold(torch.stack([row for row, _ in rows]))
    expected = offset + torch.stack([point for _, point in rows])
    torch.testing.assert_close(fine.reshape(-1, 3), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(coarse, twin.mlp(x).view(2, 5, 2, 3))


def test_shapes_and_errors():
    coarse, fine = FoldingDecoder(12, 32)(torch.randn(2, 3, 12))
    assert coarse.shape == (2, 3, 8, 3) and fine.shape == (2, 3, 32, 3)
    with pytest.raises(ValueError, match='divisible by 4, got 30'):
        FoldingDecoder(12, 30)
