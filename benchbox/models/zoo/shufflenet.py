"""What is ShuffleNetV2?

Ma et al. 2018 (arXiv 1807.11164), table 5: a unit works on half of its channels only and shuffles the halves
afterwards; where the size halves, both halves are worked on.
"""

from __future__ import annotations

import torch
from torch import nn


def depthwise(channels: int, stride: int) -> nn.Conv2d:
    """A 3x3 convolution of each channel by itself."""
    return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)


def pointwise(channels: int, out_channels: int) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(channels, out_channels, 1, bias=False)


class Unit(nn.Module):
    """Figure 3c (stride 1) and 3d (stride 2)."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.stride = stride
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(
                depthwise(channels, stride),
                nn.BatchNorm2d(channels),
                pointwise(channels, half),
                nn.BatchNorm2d(half),
                nn.ReLU(inplace=True),
            )
        self.branch2 = nn.Sequential(
            pointwise(channels if stride > 1 else half, half),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            depthwise(half, stride),
            nn.BatchNorm2d(half),
            pointwise(half, half),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride == 1:
            kept, worked = x.chunk(2, dim=1)
            x = torch.cat([kept, self.branch2(worked)], 1)
        else:
            x = torch.cat([self.branch1(x), self.branch2(x)], 1)
        channels, height, width = x.shape[1:]
        halves = x.view(-1, 2, channels // 2, height, width)
        return halves.transpose(1, 2).reshape(-1, channels, height, width)


class ShuffleNetV2(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000); state-dict keys as torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.stage2 = _stage(24, 116, 4)
        self.stage3 = _stage(116, 232, 8)
        self.stage4 = _stage(232, 464, 4)
        self.conv5 = nn.Sequential(pointwise(464, 1024), nn.BatchNorm2d(1024), nn.ReLU(inplace=True))
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        return self.fc(x.mean([2, 3]))


def _stage(channels: int, out_channels: int, count: int) -> nn.Sequential:
    rest = (Unit(out_channels, out_channels, 1) for _ in range(count - 1))
    return nn.Sequential(Unit(channels, out_channels, 2), *rest)


def shufflenet_v2_x1_0() -> ShuffleNetV2:
    """Width 1.0."""
    return ShuffleNetV2()
