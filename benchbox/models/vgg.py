"""What is VGG?

Simonyan & Zisserman 2014 (arXiv 1409.1556), table 1: stages of 3x3 convolutions, each stage ended by a 2x2
maximum, then three fully connected layers. Only the number of convolutions per stage differs.
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
    """

    def __init__(self, convolutions: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for count, width in zip(convolutions, STAGE_WIDTHS, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
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


def vgg16() -> VGG:
    """Configuration D: 13 convolutions."""
    return VGG((2, 2, 3, 3, 3))


def vgg19() -> VGG:
    """Configuration E: 16 convolutions."""
    return VGG((2, 2, 4, 4, 4))
