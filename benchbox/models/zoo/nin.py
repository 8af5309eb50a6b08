"""What is Network in Network?

Lin, Chen, Yan 2013 (arXiv 1312.4400): every convolution is followed by two 1x1 convolutions, a small network at each
place, and an average over the map takes the place of wide fully connected layers. ``nin_bn`` is the "BN-NIN" of
Canziani, Paszke, Culurciello 2016 (arXiv 1605.07678), who do not print its layers. The layers here are those of
``models/ninbn.lua`` in github.com/soumith/imagenet-multiGPU.torch, which states 62.6 % top-1: 62.6 % over 8.66 M
parameters is 7.23 % per million, and 7.2 is what readers of the comparison's chart read off. That the comparison took
this file is our inference from that number. Unlike in the paper, the classes come from a linear layer behind the
average, not from the channels of the last convolution.
"""

from __future__ import annotations

import torch
from torch import nn


def conv_norm(channels: int, filters: int, kernel: int, *, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    """Convolution (with bias, as the source), batch norm, ReLU."""
    return [
        nn.Conv2d(channels, filters, kernel, stride, padding),
        nn.BatchNorm2d(filters, eps=0.001),
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
            *network_at_each_place(3, 96, 11, stride=4, padding=5),
            nn.MaxPool2d(3, stride=2, padding=1),
            *network_at_each_place(96, 256, 5, stride=1, padding=2),
            nn.MaxPool2d(3, stride=2, padding=1),
            *network_at_each_place(256, 384, 3, stride=1, padding=1),
            nn.MaxPool2d(3, stride=2, padding=1),
            *network_at_each_place(384, 1024, 3, stride=1, padding=1),
        )
        # The source averages 7x7, which is the whole map at 224x224; this lets other input sizes through.
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.flatten(self.avgpool(self.features(x)), 1))


def nin_bn() -> NetworkInNetwork:
    """Network in Network with batch norms."""
    return NetworkInNetwork()
