"""What is Inception-v4?

Szegedy et al. 2016 (arXiv 1602.07261), figures 3 to 9: inception modules whose large filters are factorised into 1xn
and nx1. It has no residual connections (those are Inception-ResNet, in the same paper). State-dict keys are our own.
"""

from __future__ import annotations

import torch
from torch import nn

Size = int | tuple[int, int]


class Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, channels: int, filters: int, kernel: Size, *, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(filters, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """Branches side by side whose outputs are concatenated; a nested ``Branches`` forks within a branch."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def chain(*layers: nn.Module) -> nn.Sequential:
    """Layers one after the other."""
    return nn.Sequential(*layers)


def average_then(channels: int, filters: int) -> nn.Sequential:
    """The pooling branch: 3x3 averages that do not count the padding, then a 1x1 convolution."""
    return chain(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False), Conv(channels, filters, 1))


def row(channels: int, filters: int, length: int) -> Conv:
    """A 1 x length convolution that keeps the size."""
    return Conv(channels, filters, (1, length), padding=(0, length // 2))


def column(channels: int, filters: int, length: int) -> Conv:
    """A length x 1 convolution that keeps the size."""
    return Conv(channels, filters, (length, 1), padding=(length // 2, 0))


class InceptionV4(nn.Module):
    """Input (N, 3, 299, 299), output (N, 1000) (figure 9 of the second paper)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = chain(
            Conv(3, 32, 3, stride=2),
            Conv(32, 32, 3),
            Conv(32, 64, 3, padding=1),
            Branches(nn.MaxPool2d(3, stride=2), Conv(64, 96, 3, stride=2)),
            Branches(
                chain(Conv(160, 64, 1), Conv(64, 96, 3)),
                chain(Conv(160, 64, 1), row(64, 64, 7), column(64, 64, 7), Conv(64, 96, 3)),
            ),
            Branches(Conv(192, 192, 3, stride=2), nn.MaxPool2d(3, stride=2)),
        )
        self.a = chain(*(_v4_a() for _ in range(4)))
        self.reduce_a = Branches(
            Conv(384, 384, 3, stride=2),
            chain(Conv(384, 192, 1), Conv(192, 224, 3, padding=1), Conv(224, 256, 3, stride=2)),
            nn.MaxPool2d(3, stride=2),
        )
        self.b = chain(*(_v4_b() for _ in range(7)))
        self.reduce_b = Branches(
            chain(Conv(1024, 192, 1), Conv(192, 192, 3, stride=2)),
            chain(Conv(1024, 256, 1), row(256, 256, 7), column(256, 320, 7), Conv(320, 320, 3, stride=2)),
            nn.MaxPool2d(3, stride=2),
        )
        self.c = chain(*(_v4_c() for _ in range(3)))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1536, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.reduce_a(self.a(self.stem(x)))
        x = self.c(self.reduce_b(self.b(x)))
        return self.fc(torch.flatten(self.dropout(self.avgpool(x)), 1))


def _v4_a() -> Branches:
    """35x35 (figure 4)."""
    return Branches(
        Conv(384, 96, 1),
        chain(Conv(384, 64, 1), Conv(64, 96, 3, padding=1)),
        chain(Conv(384, 64, 1), Conv(64, 96, 3, padding=1), Conv(96, 96, 3, padding=1)),
        average_then(384, 96),
    )


def _v4_b() -> Branches:
    """17x17 (figure 5)."""
    return Branches(
        Conv(1024, 384, 1),
        chain(Conv(1024, 192, 1), row(192, 224, 7), column(224, 256, 7)),
        chain(Conv(1024, 192, 1), column(192, 192, 7), row(192, 224, 7), column(224, 224, 7), row(224, 256, 7)),
        average_then(1024, 128),
    )


def _v4_c() -> Branches:
    """8x8 (figure 6)."""
    return Branches(
        Conv(1536, 256, 1),
        chain(Conv(1536, 384, 1), Branches(row(384, 256, 3), column(384, 256, 3))),
        chain(
            Conv(1536, 384, 1), column(384, 448, 3), row(448, 512, 3), Branches(row(512, 256, 3), column(512, 256, 3))
        ),
        average_then(1536, 256),
    )


def inception_v4() -> InceptionV4:
    """Inception-v4."""
    return InceptionV4()
