"""What is AlexNet?

Krizhevsky, Sutskever, Hinton 2012: five convolutions and three fully connected layers. ``alexnet`` is the single-tower
form of Krizhevsky 2014 (arXiv 1404.5997), which is torchvision's: 64-192-384-256-256 filters. ``alexnet_paper`` is the
2012 network: 96-256-384-384-256 filters on two GPUs, so that convolutions 2, 4 and 5 see half of their input.
"""

from __future__ import annotations

import torch
from torch import nn


class AlexNet(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000); state-dict keys as torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        # The pooling to 6x6 does nothing at 224x224 and lets other input sizes through.
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def alexnet() -> AlexNet:
    """AlexNet, one tower, 224x224."""
    return AlexNet()


def alexnet_lecture() -> AlexNet:
    """The same layers on 227x227, which makes the first convolution's output 56x56."""
    return AlexNet()


def alexnet_bn() -> AlexNet:
    """The single tower with a batch norm after each convolution, before its ReLU."""
    network = AlexNet()
    layers: list[nn.Module] = []
    for layer in network.features:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
    network.features = nn.Sequential(*layers)
    return network


class TwoTowerAlexNet(nn.Module):
    """The network of 2012 (figure 2): input (N, 3, 227, 227), output (N, 1000).

    The paper says 224, but only 227 gives its 55x55. Two GPUs are two groups; local response normalisation follows the
    first two convolutions (section 3.3).
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, kernel_size=11, stride=4),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(256, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))


def alexnet_paper() -> TwoTowerAlexNet:
    """The network of 2012, two towers."""
    return TwoTowerAlexNet()
