"""What is Network in Network?

Lin, Chen, Yan 2013 (arXiv 1312.4400): every convolution is followed by two 1x1 convolutions, a small network at each
place, and the classes are the channels of the last one, averaged over the map. ``nin_bn`` is the form for ImageNet of
the authors' model zoo with a batch norm behind each convolution, the "BN-NIN" of Canziani, Paszke, Culurciello 2016
(arXiv 1605.07678), who do not print its layers; theirs has 62 to 63 % top-1 at 7.2 % per million parameters.
"""

from __future__ import annotations

import torch
from torch import nn


def conv_norm(channels: int, filters: int, kernel: int, *, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    """Convolution without bias, batch norm, ReLU."""
    return [
        nn.Conv2d(channels, filters, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
    ]


def network_at_each_place(channels: int, filters: int, kernel: int, *, stride: int, padding: int) -> list[nn.Module]:
    """A convolution and two 1x1 convolutions (figure 1b)."""
    return [
        *conv_norm(channels, filters, kernel, stride=stride, padding=padding),
        *conv_norm(filters, filters, 1),
        *conv_norm(filters, filters, 1),
    ]


class NetworkInNetwork(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *network_at_each_place(3, 96, 11, stride=4, padding=0),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            *network_at_each_place(96, 256, 5, stride=1, padding=2),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            *network_at_each_place(256, 384, 3, stride=1, padding=1),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            nn.Dropout(),
            *conv_norm(384, 1024, 3, padding=1),
            *conv_norm(1024, 1024, 1),
            *conv_norm(1024, 1000, 1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(self.avgpool(self.features(x)), 1)


def nin_bn() -> NetworkInNetwork:
    """Network in Network with batch norms."""
    return NetworkInNetwork()
