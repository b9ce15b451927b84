"""ESPNet, a small network for street scenes, as a frozen teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

from .image_teachers import ImageTeacher

# of the Cityscapes pictures, RGB in 0 to 255; the published weights divide by 255 after all that
MEAN = (73.158, 82.909, 72.392)
STD = tuple(255 * v for v in (44.915, 46.153, 45.319))


@MODELS.register_module()
class ESPNetTeacher(ImageTeacher):
    """ESPNet (Mehta et al., ECCV 2018) with the weights that its authors trained on Cityscapes.

    Its pictures are RGB here (the channels are swapped inside), with the mean and the deviation
    ``pixel_mean`` and ``pixel_std`` in the data preprocessor.

    Args:
        weights: checkpoint with the names of the public code, encoder and decoder. None leaves the
            network at random.
        levels: 0, 1, 2: features of 19, 131 and 256 channels at strides 2, 4 and 8; 3: logits of
            the classes at stride 1 (the 19 of Cityscapes, and 'ignore').
        repeats: ESP blocks at strides 4 and 8; p and q of the paper.
        num_classes: of the weights.

    Raises:
        ValueError: for a level that does not exist.
    """

    def __init__(
        self,
        weights: str | None = None,
        levels: Sequence[int] = (0, 1, 2),
        repeats: tuple[int, int] = (2, 8),
        num_classes: int = 20,
    ) -> None:
        if not levels or any(not 0 <= k < 4 for k in levels):
            raise ValueError(f'ESPNetTeacher: levels must be in [0, 4), got {tuple(levels)}')
        network = _ESPNet(repeats, num_classes)
        channels, strides = (19, 131, 256, num_classes), (2, 4, 8, 1)
        super().__init__(
            network,
            weights,
            [channels[k] for k in levels],
            [strides[k] for k in levels],
            divisor=8,
            pixel_mean=MEAN,
            pixel_std=STD,
        )
        self.levels = tuple(levels)
        self.repeats = tuple(repeats)

    def load(self) -> None:
        """Fill the network.

        Raises:
            FileNotFoundError: if there is no such file.
            RuntimeError: if it lacks weights of the network, or some have another shape.
        """
        from mm3dpretrain.apis.checkpoint import load_weights, weights_of

        # older than the counters of batch norm
        own = self.network.state_dict()
        counters = {k: torch.zeros_like(v) for k, v in own.items() if k.endswith('_tracked')}
        state = counters | dict(weights_of(self.weights))
        load_weights(self.network, state, f'{self.weights} for ESPNet:')

    def maps(self, img: Tensor) -> list[Tensor]:
        """The chosen features."""
        found = self.network(img.flip(1))
        return [found[k] for k in self.levels]

    def describe(self) -> dict:
        """With the levels and the depth."""
        return dict(super().describe(), levels=self.levels, repeats=self.repeats)


class _Conv(nn.Module):
    """A convolution without bias, as ``conv``."""

    def __init__(self, inner: int, outer: int, kernel: int, stride=1, dilation=1) -> None:
        super().__init__()
        padding = (kernel - 1) // 2 * dilation
        self.conv = nn.Conv2d(inner, outer, kernel, stride, padding, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _Norm(nn.Module):
    """Batch norm and PReLU, as ``bn`` and ``act``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(x))


class _ConvNorm(_Norm):
    """A convolution before them."""

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__(outer)
        self.conv = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.conv(x))


class _Pyramid(nn.Module):
    """Section 3 of the paper: reduce, five dilations, sums against gridding, together."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        width = outer // 5
        self.c1 = _Conv(inner, width, 3 if stride == 2 else 1, stride)
        self.d1 = _Conv(width, outer - 4 * width, 3)
        for dilation in (2, 4, 8, 16):
            setattr(self, f'd{dilation}', _Conv(width, width, 3, dilation=dilation))

    def pyramid(self, x: Tensor) -> Tensor:
        x = self.c1(x)
        parts = [self.d1(x), self.d2(x)]
        for dilated in (self.d4, self.d8, self.d16):
            parts.append(parts[-1] + dilated(x))
        return torch.cat(parts, 1)


class _Down(_Pyramid):
    """A pyramid of stride 2; ``bn`` and ``act`` are its own in the published names."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__(inner, outer, 2)
        self.bn = nn.BatchNorm2d(outer, eps=1e-3)
        self.act = nn.PReLU(outer)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.pyramid(x)))


class _Block(_Pyramid):
    """The ESP block, with the residual where the widths are the same."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__(inner, outer, 1)
        self.bn = _Norm(outer)
        self.add = inner == outer

    def forward(self, x: Tensor) -> Tensor:
        out = self.pyramid(x)
        return self.bn(x + out if self.add else out)


class _Encoder(nn.Module):
    """ESPNet-C."""

    def __init__(self, repeats: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.level1 = _ConvNorm(3, 16, 2)
        self.b1 = _Norm(19)
        self.level2_0 = _Down(19, 64)
        self.level2 = nn.Sequential(*(_Block(64, 64) for _ in range(repeats[0])))
        self.b2 = _Norm(131)
        self.level3_0 = _Down(131, 128)
        self.level3 = nn.Sequential(*(_Block(128, 128) for _ in range(repeats[1])))
        self.b3 = _Norm(256)
        self.classifier = _Conv(256, num_classes, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        half = F.avg_pool2d(x, 3, 2, 1)
        quarter = F.avg_pool2d(half, 3, 2, 1)
        stem = self.level1(x)
        first = self.b1(torch.cat([stem, half], 1))
        down = self.level2_0(first)
        second = self.b2(torch.cat([self.level2(down), down, quarter], 1))
        down = self.level3_0(second)
        return stem, first, second, self.b3(torch.cat([down, self.level3(down)], 1))


class _ESPNet(nn.Module):
    """Encoder and decoder."""

    def __init__(self, repeats: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        c = num_classes

        def up() -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(c, c, 2, stride=2, bias=False)

        self.encoder = _Encoder(repeats, c)
        self.level3_C = _Conv(131, c, 1)
        self.br = nn.BatchNorm2d(c, eps=1e-3)
        self.conv = _ConvNorm(16 + c, c)
        self.up_l3 = nn.Sequential(up())
        self.combine_l2_l3 = nn.Sequential(_Norm(2 * c), _Block(2 * c, c))
        self.up_l2 = nn.Sequential(up(), _Norm(c))
        self.classifier = up()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        stem, first, second, third = self.encoder(x)
        deep = self.up_l3(self.br(self.encoder.classifier(third)))
        mixed = self.combine_l2_l3(torch.cat([self.level3_C(second), deep], 1))
        fine = self.conv(torch.cat([self.up_l2(mixed), stem], 1))
        return first, second, third, self.classifier(fine)
