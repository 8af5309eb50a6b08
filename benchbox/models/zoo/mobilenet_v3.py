"""What is MobileNetV3?

Howard et al. 2019 (arXiv 1905.02244), tables 1 (large) and 2 (small): MobileNetV2's inverted residuals with
squeeze-and-excitation and hard-swish where they pay, and a last stage that pools before it widens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from benchbox.models.seeding import damped


@dataclass(frozen=True)
class Row:
    """One line of the tables: kernel, expanded and output channels, squeeze-and-excitation, hard-swish, stride."""

    kernel: int
    expanded: int
    out: int
    squeezes: bool
    hard_swish: bool
    stride: int


LARGE = (
    Row(3, 16, 16, False, False, 1),
    Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1),
    Row(5, 72, 40, True, False, 2),
    Row(5, 120, 40, True, False, 1),
    Row(5, 120, 40, True, False, 1),
    Row(3, 240, 80, False, True, 2),
    Row(3, 200, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 480, 112, True, True, 1),
    Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2),
    Row(5, 960, 160, True, True, 1),
    Row(5, 960, 160, True, True, 1),
)
SMALL = (
    Row(3, 16, 16, True, False, 2),
    Row(3, 72, 24, False, False, 2),
    Row(3, 88, 24, False, False, 1),
    Row(5, 96, 40, True, True, 2),
    Row(5, 240, 40, True, True, 1),
    Row(5, 240, 40, True, True, 1),
    Row(5, 120, 48, True, True, 1),
    Row(5, 144, 48, True, True, 1),
    Row(5, 288, 96, True, True, 2),
    Row(5, 576, 96, True, True, 1),
    Row(5, 576, 96, True, True, 1),
)


def conv_norm(
    channels: int, out_channels: int, kernel: int, *, hard_swish: bool, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, hard-swish or ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=0.001, momentum=0.01),
        nn.Hardswish(inplace=True) if hard_swish else nn.ReLU(inplace=True),
    )


def divisible(channels: float) -> int:
    """The nearest multiple of 8 that is not more than 10 % smaller (the authors' rule for derived widths)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class SqueezeExcitation(nn.Module):
    """Each channel is weighted by what the whole image says about it (Hu et al. 2017, arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return scale * x


class InvertedResidual(nn.Module):
    """Widen, filter, weigh, narrow (figure 4)."""

    def __init__(self, channels: int, row: Row) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if row.expanded != channels:
            layers.append(conv_norm(channels, row.expanded, 1, hard_swish=row.hard_swish))
        layers.append(
            conv_norm(
                row.expanded,
                row.expanded,
                row.kernel,
                hard_swish=row.hard_swish,
                stride=row.stride,
                groups=row.expanded,
            )
        )
        if row.squeezes:
            layers.append(SqueezeExcitation(row.expanded, divisible(row.expanded / 4)))
        narrow = nn.Sequential(
            nn.Conv2d(row.expanded, row.out, 1, bias=False),
            damped(nn.BatchNorm2d(row.out, eps=0.001, momentum=0.01), 0.5),
        )
        self.block = nn.Sequential(*layers, narrow)
        self.adds = row.stride == 1 and channels == row.out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x) if self.adds else self.block(x)


class MobileNetV3(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000); state-dict keys as torchvision's.

    Args:
        rows: the table.
        wide: width of the layer before the last.
    """

    def __init__(self, rows: Sequence[Row], wide: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 16, 3, hard_swish=True, stride=2)]
        channels = 16
        for row in rows:
            layers.append(InvertedResidual(channels, row))
            channels = row.out
        layers.append(conv_norm(channels, 6 * channels, 1, hard_swish=True))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, wide),
            nn.Hardswish(inplace=True),
            nn.Dropout(0.2, inplace=True),
            nn.Linear(wide, 1000),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def mobilenet_v3_large() -> MobileNetV3:
    """Table 1."""
    return MobileNetV3(LARGE, 1280)


def mobilenet_v3_small() -> MobileNetV3:
    """Table 2."""
    return MobileNetV3(SMALL, 1024)
