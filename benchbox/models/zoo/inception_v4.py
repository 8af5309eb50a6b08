"""What is Inception-v4?

Szegedy et al. 2016 (arXiv 1602.07261), figures 3 to 9: modules whose large filters are factorised into 1xn and nx1,
a stem of modules, and no residual connections (the Inception-ResNets of the same paper have them). The state dict has
the keys of timm, whose published weights load.
"""

from __future__ import annotations

import torch
from torch import nn

from benchbox.models.zoo.inception import Conv, average_then, chain, column, row


class Branches(nn.Module):
    """Branches side by side, whose outputs are concatenated in their order."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


def four(*branches: nn.Module) -> Branches:
    """Branches named branch0, branch1, …"""
    return Branches(**{f"branch{number}": branch for number, branch in enumerate(branches)})


class InceptionV4(nn.Module):
    """Input (N, 3, 299, 299), output (N, 1000) (figure 9)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = chain(
            Conv(3, 32, 3, stride=2),
            Conv(32, 32, 3),
            Conv(32, 64, 3, padding=1),
            *stem_modules(),
            *(inception_a() for _ in range(4)),
            reduction_a(),
            *(inception_b() for _ in range(7)),
            reduction_b(),
            *(InceptionC() for _ in range(3)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.2)
        self.last_linear = nn.Linear(1536, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.last_linear(torch.flatten(self.dropout(x), 1))


def stem_modules() -> tuple[Branches, Branches, Branches]:
    """147x147 to 35x35 (figure 3)."""
    return (
        Branches(maxpool=nn.MaxPool2d(3, stride=2), conv=Conv(64, 96, 3, stride=2)),
        four(
            chain(Conv(160, 64, 1), Conv(64, 96, 3)),
            chain(Conv(160, 64, 1), row(64, 64, 7), column(64, 64, 7), Conv(64, 96, 3)),
        ),
        Branches(conv=Conv(192, 192, 3, stride=2), maxpool=nn.MaxPool2d(3, stride=2)),
    )


def inception_a() -> Branches:
    """35x35 (figure 4)."""
    return four(
        Conv(384, 96, 1),
        chain(Conv(384, 64, 1), Conv(64, 96, 3, padding=1)),
        chain(Conv(384, 64, 1), Conv(64, 96, 3, padding=1), Conv(96, 96, 3, padding=1)),
        average_then(384, 96),
    )


def reduction_a() -> Branches:
    """35x35 to 17x17 (figure 7, table 1)."""
    return four(
        Conv(384, 384, 3, stride=2),
        chain(Conv(384, 192, 1), Conv(192, 224, 3, padding=1), Conv(224, 256, 3, stride=2)),
        nn.MaxPool2d(3, stride=2),
    )


def inception_b() -> Branches:
    """17x17 (figure 5)."""
    return four(
        Conv(1024, 384, 1),
        chain(Conv(1024, 192, 1), row(192, 224, 7), column(224, 256, 7)),
        chain(Conv(1024, 192, 1), column(192, 192, 7), row(192, 224, 7), column(224, 224, 7), row(224, 256, 7)),
        average_then(1024, 128),
    )


def reduction_b() -> Branches:
    """17x17 to 8x8 (figure 8)."""
    return four(
        chain(Conv(1024, 192, 1), Conv(192, 192, 3, stride=2)),
        chain(Conv(1024, 256, 1), row(256, 256, 7), column(256, 320, 7), Conv(320, 320, 3, stride=2)),
        nn.MaxPool2d(3, stride=2),
    )


class InceptionC(nn.Module):
    """8x8 (figure 6): two branches fork into 1x3 and 3x1."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = Conv(1536, 256, 1)
        self.branch1_0 = Conv(1536, 384, 1)
        self.branch1_1a, self.branch1_1b = row(384, 256, 3), column(384, 256, 3)
        self.branch2_0 = Conv(1536, 384, 1)
        self.branch2_1, self.branch2_2 = column(384, 448, 3), row(448, 512, 3)
        self.branch2_3a, self.branch2_3b = row(512, 256, 3), column(512, 256, 3)
        self.branch3 = average_then(1536, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.branch1_0(x)
        two = self.branch2_2(self.branch2_1(self.branch2_0(x)))
        forks = [self.branch1_1a(one), self.branch1_1b(one), self.branch2_3a(two), self.branch2_3b(two)]
        return torch.cat([self.branch0(x), *forks, self.branch3(x)], 1)


def inception_v4() -> InceptionV4:
    """Inception-v4."""
    return InceptionV4()
