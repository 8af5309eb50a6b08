"""What is Inception-v3?

Szegedy et al. 2015 (arXiv 1512.00567): inception modules whose large filters are factorised into 1xn and nx1. This is
torchvision's form, whose pools count the padding. ``inception_v3_aux`` has the auxiliary head as a second output.
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


class AuxiliaryHead(nn.Module):
    """A second classifier on the last 17x17 map (figure 8): pool, 1x1, a convolution over the whole map, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, stride=3)
        self.conv0 = Conv(768, 128, 1)
        self.conv1 = Conv(128, 768, 5)
        self.fc = nn.Linear(768, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.flatten(self.conv1(self.conv0(self.pool(x))), 1))


class InceptionV3(nn.Module):
    """Input (N, 3, 299, 299), output (N, 1000); state-dict keys as torchvision's.

    Args:
        auxiliary: also give the output of the auxiliary head, (N, 1000), as torchvision does in training.
    """

    left_out = ("AuxLogits.",)

    def __init__(self, *, auxiliary: bool = False) -> None:
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
        self.AuxLogits = AuxiliaryHead() if auxiliary else None
        self.Mixed_7a = ReduceB(768)
        self.Mixed_7b, self.Mixed_7c = MixedC(1280), MixedC(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        middle = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.avgpool(self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(middle))))
        logits = self.fc(torch.flatten(self.dropout(x), 1))
        return logits if self.AuxLogits is None else (logits, self.AuxLogits(middle))


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


def inception_v3() -> InceptionV3:
    """Inception-v3 without its auxiliary head."""
    return InceptionV3()


def inception_v3_aux() -> InceptionV3:
    """Inception-v3 with its auxiliary head as a second output."""
    return InceptionV3(auxiliary=True)
