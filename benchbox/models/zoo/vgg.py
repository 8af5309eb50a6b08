"""What is VGG?

Simonyan & Zisserman 2014 (arXiv 1409.1556), table 1: stages of 3x3 convolutions, each stage ended by a 2x2
maximum, then three fully connected layers. Only the number of convolutions per stage differs. ``_bn`` has a batch norm
after each convolution (not in the paper; as torchvision).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

STAGE_WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000); state-dict keys as torchvision's.

    Args:
        convolutions: how many 3x3 convolutions each of the five stages has.
        batch_norm: whether each convolution is followed by a batch norm.
    """

    def __init__(self, convolutions: Sequence[int], *, batch_norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for count, width in zip(convolutions, STAGE_WIDTHS, strict=True):
            for _ in range(count):
                norm = [nn.BatchNorm2d(width)] if batch_norm else []
                layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), *norm, nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)
        # The pooling to 7x7 does nothing at 224x224 and lets other input sizes through.
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def vgg11() -> VGG:
    """Configuration A: 8 convolutions."""
    return VGG((1, 1, 2, 2, 2))


def vgg13() -> VGG:
    """Configuration B: 10 convolutions."""
    return VGG((2, 2, 2, 2, 2))


def vgg16() -> VGG:
    """Configuration D: 13 convolutions."""
    return VGG((2, 2, 3, 3, 3))


def vgg19() -> VGG:
    """Configuration E: 16 convolutions."""
    return VGG((2, 2, 4, 4, 4))


def vgg11_bn() -> VGG:
    """Configuration A with batch norms."""
    return VGG((1, 1, 2, 2, 2), batch_norm=True)


def vgg13_bn() -> VGG:
    """Configuration B with batch norms."""
    return VGG((2, 2, 2, 2, 2), batch_norm=True)


def vgg16_bn() -> VGG:
    """Configuration D with batch norms."""
    return VGG((2, 2, 3, 3, 3), batch_norm=True)


def vgg19_bn() -> VGG:
    """Configuration E with batch norms."""
    return VGG((2, 2, 4, 4, 4), batch_norm=True)


def vgg16_lecture() -> VGG:
    """Stage 3 with two convolutions: the 15-layer network whose totals the lecture prints as VGG-16's."""
    return VGG((2, 2, 2, 3, 3))
