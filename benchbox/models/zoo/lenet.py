"""What is LeNet-5?

LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition". The form here is
the one that courses teach: 20 and 50 filters, padded convolutions, max pooling, ReLU.
"""

from __future__ import annotations

import torch
from torch import nn


class LeNet(nn.Module):
    """Two convolutions with pooling, two fully connected layers; input (N, 1, 28, 28), output (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, kernel_size=5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2, stride=2)
        self.conv2 = nn.Conv2d(20, 50, kernel_size=5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2, stride=2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(50 * 7 * 7, 500)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = self.relu3(self.fc1(self.flatten(x)))
        return self.fc2(x)


def lenet5() -> LeNet:
    """LeNet-5 as taught."""
    return LeNet()
