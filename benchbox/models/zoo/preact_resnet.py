"""What is a pre-activation ResNet?

He, Zhang, Ren, Sun 2016 (arXiv 1603.05027), figure 4e: batch norm and ReLU come before each convolution, so that the
shortcut carries the sum unchanged. As in the authors' Torch code: the first block of the first stage has no
pre-activation of its own (the stem just did it), projections carry no batch norm, a last batch norm precedes the
pooling.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from benchbox.models.seeding import damped
from benchbox.models.zoo.resnet import STAGE_WIDTHS


class PreActBasicBlock(nn.Module):
    """Two 3x3 convolutions, each after its batch norm and ReLU."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, *, pre_activated: bool) -> None:
        super().__init__()
        self.bn1 = nn.Identity() if pre_activated else nn.BatchNorm2d(channels)
        self.relu1 = nn.Identity() if pre_activated else nn.ReLU()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = damped(nn.BatchNorm2d(width), 0.25)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.downsample = projection(channels, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.conv1(self.relu1(self.bn1(x)))
        branch = self.conv2(self.relu2(self.bn2(branch)))
        return branch + (x if self.downsample is None else self.downsample(x))


class PreActBottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1, each after its batch norm and ReLU."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, *, pre_activated: bool) -> None:
        super().__init__()
        self.bn1 = nn.Identity() if pre_activated else nn.BatchNorm2d(channels)
        self.relu1 = nn.Identity() if pre_activated else nn.ReLU()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn3 = damped(nn.BatchNorm2d(width), 0.25)
        self.relu3 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, width * self.expansion, kernel_size=1, bias=False)
        self.downsample = projection(channels, width * self.expansion, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.conv1(self.relu1(self.bn1(x)))
        branch = self.conv2(self.relu2(self.bn2(branch)))
        branch = self.conv3(self.relu3(self.bn3(branch)))
        return branch + (x if self.downsample is None else self.downsample(x))


def projection(channels: int, out_channels: int, stride: int) -> nn.Conv2d | None:
    """The 1x1 convolution on a shortcut whose shapes differ, None where they agree."""
    if stride == 1 and channels == out_channels:
        return None
    return nn.Conv2d(channels, out_channels, kernel_size=1, stride=stride, bias=False)


class PreActResNet(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000).

    Args:
        block: what a stage is made of.
        blocks: how many blocks each of the four stages has.
    """

    def __init__(self, block: type[PreActBasicBlock | PreActBottleneck], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        layers: list[nn.Module] = []
        channels = 64
        for number, (count, width) in enumerate(zip(blocks, STAGE_WIDTHS, strict=True)):
            stage = []
            for index in range(count):
                stride = 2 if number > 0 and index == 0 else 1
                stage.append(block(channels, width, stride, pre_activated=number == index == 0))
                channels = width * block.expansion
            layers.append(nn.Sequential(*stage))
        self.layers = nn.Sequential(*layers)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn(self.layers(self.stem(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def preact_resnet18() -> PreActResNet:
    """2, 2, 2, 2 basic blocks."""
    return PreActResNet(PreActBasicBlock, (2, 2, 2, 2))


def preact_resnet34() -> PreActResNet:
    """3, 4, 6, 3 basic blocks."""
    return PreActResNet(PreActBasicBlock, (3, 4, 6, 3))


def preact_resnet50() -> PreActResNet:
    """3, 4, 6, 3 bottlenecks."""
    return PreActResNet(PreActBottleneck, (3, 4, 6, 3))


def preact_resnet101() -> PreActResNet:
    """3, 4, 23, 3 bottlenecks."""
    return PreActResNet(PreActBottleneck, (3, 4, 23, 3))


def preact_resnet152() -> PreActResNet:
    """3, 8, 36, 3 bottlenecks."""
    return PreActResNet(PreActBottleneck, (3, 8, 36, 3))


def preact_resnet200() -> PreActResNet:
    """3, 24, 36, 3 bottlenecks."""
    return PreActResNet(PreActBottleneck, (3, 24, 36, 3))
