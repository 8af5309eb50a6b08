"""What is MobileNetV2?

Sandler et al. 2018 (arXiv 1801.04381), table 2: inverted residuals widen with a 1x1 convolution, filter each channel by
itself (depthwise 3x3), and narrow again without an activation; where shapes agree, the input is added.
"""

from __future__ import annotations

import torch
from torch import nn

from benchbox.models.seeding import damped

# Expansion, output channels, blocks, stride of the first (table 2).
ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_norm(channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Widen, filter, narrow (figure 3b)."""

    def __init__(self, channels: int, out_channels: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        widen = [conv_norm(channels, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *widen,
            conv_norm(hidden, hidden, 3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            damped(nn.BatchNorm2d(out_channels), 0.5),
        )
        self.adds = stride == 1 and channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000); state-dict keys as torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 32, 3, stride=2)]
        channels = 32
        for expansion, out_channels, count, stride in ROWS:
            for index in range(count):
                first = stride if index == 0 else 1
                layers.append(InvertedResidual(channels, out_channels, stride=first, expansion=expansion))
                channels = out_channels
        layers.append(conv_norm(channels, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


def mobilenet_v2() -> MobileNetV2:
    """Width 1.0."""
    return MobileNetV2()
