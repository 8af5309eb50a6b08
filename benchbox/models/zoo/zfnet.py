"""What is ZFNet?

Zeiler & Fergus 2013 (arXiv 1311.2901): AlexNet with a finer first layer (7x7, stride 2) and a strided second one. This
is the wider variant of table 2 with 512, 1024 and 512 filters in convolutions 3 to 5. Paddings and the pools' rounding
up are not printed; they are the choice that gives the published sizes 110-55-26-13-13-13-6.
"""

from __future__ import annotations

import torch
from torch import nn


class ZFNet(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, kernel_size=7, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
            nn.Conv2d(96, 256, kernel_size=5, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
            nn.Conv2d(256, 512, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(512, 1024, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(1024, 512, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(512 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))


def zfnet() -> ZFNet:
    """The variant with 512-1024-512 filters."""
    return ZFNet()
