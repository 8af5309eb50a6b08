"""What are Inception-v3 and Inception-v4?

Szegedy et al. 2015 (arXiv 1512.00567) and 2016 (arXiv 1602.07261): inception modules whose large filters are factorised
into 1xn and nx1. ``inception_v3`` is torchvision's, whose pools count the padding. ``inception_v4`` follows figures 3
to 9 of the second paper, with state-dict keys of its own; it has no residual connections (Inception-ResNet has).
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


class InceptionV3(nn.Module):
    """Input (N, 3, 299, 299), output (N, 1000); state-dict keys as torchvision's without its auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = (
            MixedA(192, pool=32),
            MixedA(256, pool=64),
            MixedA(288, pool=64),
        )
        self.Mixed_6a = ReduceA(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (MixedB(w) for w in (128, 160, 160, 192))
        self.Mixed_7a = ReduceB(768)
        self.Mixed_7b, self.Mixed_7c = MixedC(1280), MixedC(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x)))))
        x = self.avgpool(self.Mixed_7c(self.Mixed_7b(x)))
        return self.fc(torch.flatten(self.dropout(x), 1))


class MixedA(nn.Module):
    """35x35 (figure 5 of the first paper, with a 5x5 branch as torchvision)."""

    def __init__(self, channels: int, *, pool: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(channels, 64, 1)
        self.branch5x5_1 = Conv(channels, 48, 1)
        self.branch5x5_2 = Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Conv(channels, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, padding=1)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = Conv(channels, pool, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        twice_three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, twice_three, self.branch_pool(self.pool(x))], 1)


class ReduceA(nn.Module):
    """35x35 to 17x17."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = Conv(channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = Conv(channels, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        twice_three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), twice_three, self.pool(x)], 1)


class MixedB(nn.Module):
    """17x17 (figure 6)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(768, 192, 1)
        self.branch7x7_1 = Conv(768, width, 1)
        self.branch7x7_2 = row(width, width, 7)
        self.branch7x7_3 = column(width, 192, 7)
        self.branch7x7dbl_1 = Conv(768, width, 1)
        self.branch7x7dbl_2 = column(width, width, 7)
        self.branch7x7dbl_3 = row(width, width, 7)
        self.branch7x7dbl_4 = column(width, width, 7)
        self.branch7x7dbl_5 = row(width, 192, 7)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = Conv(768, 192, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice_seven = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice_seven = self.branch7x7dbl_5(self.branch7x7dbl_4(twice_seven))
        return torch.cat([self.branch1x1(x), seven, twice_seven, self.branch_pool(self.pool(x))], 1)


class ReduceB(nn.Module):
    """17x17 to 8x8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = Conv(channels, 192, 1)
        self.branch3x3_2 = Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Conv(channels, 192, 1)
        self.branch7x7x3_2 = row(192, 192, 7)
        self.branch7x7x3_3 = column(192, 192, 7)
        self.branch7x7x3_4 = Conv(192, 192, 3, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_2(self.branch7x7x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(seven))
        return torch.cat([three, seven, self.pool(x)], 1)


class MixedC(nn.Module):
    """8x8 (figure 7)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(channels, 320, 1)
        self.branch3x3_1 = Conv(channels, 384, 1)
        self.branch3x3_2a = row(384, 384, 3)
        self.branch3x3_2b = column(384, 384, 3)
        self.branch3x3dbl_1 = Conv(channels, 448, 1)
        self.branch3x3dbl_2 = Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = row(384, 384, 3)
        self.branch3x3dbl_3b = column(384, 384, 3)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch_pool = Conv(channels, 192, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        three = self.branch3x3_1(x)
        twice_three = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(twice_three), self.branch3x3dbl_3b(twice_three)]
        return torch.cat([*parts, self.branch_pool(self.pool(x))], 1)


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


def inception_v3() -> InceptionV3:
    """Inception-v3 without its auxiliary head."""
    return InceptionV3()


def inception_v4() -> InceptionV4:
    """Inception-v4."""
    return InceptionV4()
