"""What is a ResNet?

He, Zhang, Ren, Sun 2015 (arXiv 1512.03385), table 1. Blocks learn what to add to their input; where shapes differ, a
1x1 convolution projects the input (option B), or zeros are padded to it (option A: ``_v1`` of 18 and 34 layers, the
form of the 3.6 GMAC that the paper prints). The bottleneck has its stride in the 3x3 convolution: "v1.5", which is what
torchvision's names mean (0.23 GMAC more for ResNet-50); ``_v1`` has it in the first 1x1, as the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from benchbox.models.seeding import damped

STAGE_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (figure 5, left)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, *, original: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = damped(nn.BatchNorm2d(width), 0.25)
        self.downsample = (padding if original else projection)(channels, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(branch + shortcut)


class Bottleneck(nn.Module):
    """1x1 to narrow, 3x3, 1x1 to widen four times (figure 5, right)."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, *, original: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if original else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, kernel_size=1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, kernel_size=1, bias=False)
        self.bn3 = damped(nn.BatchNorm2d(width * self.expansion), 0.25)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(channels, width * self.expansion, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(branch + shortcut)


def projection(channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """The 1x1 convolution on a shortcut whose shapes differ (option B), None where they agree."""
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
    )


class ZeroPadding(nn.Module):
    """Every ``stride``-th position, and zeros for the channels that the input lacks: no parameters, no work."""

    def __init__(self, more_channels: int, stride: int) -> None:
        super().__init__()
        self.more_channels = more_channels
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more_channels))


def padding(channels: int, out_channels: int, stride: int) -> ZeroPadding | None:
    """Zeros in place of a projection (option A), None where shapes agree."""
    if stride == 1 and channels == out_channels:
        return None
    return ZeroPadding(out_channels - channels, stride)


def stage(
    block: type[BasicBlock | Bottleneck], channels: int, width: int, count: int, *, stride: int, original: bool
) -> nn.Sequential:
    """``count`` blocks in a row; the first takes ``channels`` in and has the stride."""
    out_channels = width * block.expansion
    rest = (block(out_channels, width, 1, original=original) for _ in range(count - 1))
    return nn.Sequential(block(channels, width, stride, original=original), *rest)


class ResNet(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000); state-dict keys as torchvision's.

    Args:
        block: what a stage is made of.
        blocks: how many blocks each of the four stages has.
        original: the paper's form (v1) instead of torchvision's.
    """

    def __init__(self, block: type[BasicBlock | Bottleneck], blocks: Sequence[int], *, original: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        widths = [64, *(width * block.expansion for width in STAGE_WIDTHS)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            stage(
                block,
                widths[number],
                STAGE_WIDTHS[number],
                count,
                stride=1 if number == 0 else 2,
                original=original,
            )
            for number, count in enumerate(blocks)
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(widths[-1], 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet18() -> ResNet:
    """18 weight layers: 2, 2, 2, 2 basic blocks."""
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet34() -> ResNet:
    """34 weight layers: 3, 4, 6, 3 basic blocks."""
    return ResNet(BasicBlock, (3, 4, 6, 3))


def resnet50() -> ResNet:
    """50 weight layers: 3, 4, 6, 3 bottlenecks."""
    return ResNet(Bottleneck, (3, 4, 6, 3))


def resnet101() -> ResNet:
    """101 weight layers: 3, 4, 23, 3 bottlenecks."""
    return ResNet(Bottleneck, (3, 4, 23, 3))


def resnet152() -> ResNet:
    """152 weight layers: 3, 8, 36, 3 bottlenecks."""
    return ResNet(Bottleneck, (3, 8, 36, 3))


def resnet200() -> ResNet:
    """200 weight layers: 3, 24, 36, 3 bottlenecks (He et al. 2016, arXiv 1603.05027)."""
    return ResNet(Bottleneck, (3, 24, 36, 3))


def resnet18_v1() -> ResNet:
    """The paper's 18 layers, shortcuts padded with zeros."""
    return ResNet(BasicBlock, (2, 2, 2, 2), original=True)


def resnet34_v1() -> ResNet:
    """The paper's 34 layers, shortcuts padded with zeros."""
    return ResNet(BasicBlock, (3, 4, 6, 3), original=True)


def resnet50_v1() -> ResNet:
    """The paper's 50 layers, stride in the first 1x1."""
    return ResNet(Bottleneck, (3, 4, 6, 3), original=True)


def resnet101_v1() -> ResNet:
    """The paper's 101 layers, stride in the first 1x1."""
    return ResNet(Bottleneck, (3, 4, 23, 3), original=True)


def resnet152_v1() -> ResNet:
    """The paper's 152 layers, stride in the first 1x1."""
    return ResNet(Bottleneck, (3, 8, 36, 3), original=True)
