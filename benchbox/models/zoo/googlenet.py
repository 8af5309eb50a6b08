"""What is GoogLeNet?

Szegedy et al. 2014 (arXiv 1409.4842), table 1: inception modules look at their input through 1x1, 3x3 and 5x5
convolutions and a pool side by side; 1x1 convolutions keep the width in check; global average pooling replaces fully
connected layers. ``googlenet`` is torchvision's: batch norms, no biases, and 3x3 convolutions where the paper has 5x5.
``googlenet_paper`` is table 1: biases, no batch norms. The two auxiliary heads help training only and are left out;
``googlenet_aux`` and ``googlenet_paper_aux`` give them as further outputs.
"""

from __future__ import annotations

import torch
from torch import nn

# 1x1 · reduce for 3x3, 3x3 · reduce for 5x5, 5x5 · projection of the pool (table 1).
MODULES = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class Conv(nn.Module):
    """Convolution and ReLU, with a batch norm (and no bias) between them or without."""

    def __init__(
        self, channels: int, filters: int, kernel: int, *, batch_norm: bool, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel, stride, padding, bias=not batch_norm)
        if batch_norm:
            self.bn = nn.BatchNorm2d(filters, eps=0.001)
        self.batch_norm = batch_norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return nn.functional.relu(self.bn(x) if self.batch_norm else x, inplace=True)


class Inception(nn.Module):
    """Four branches whose outputs are concatenated (figure 2b)."""

    def __init__(
        self, channels: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int, *, batch_norm: bool
    ) -> None:
        super().__init__()
        # torchvision's third branch has 3x3 filters; its maintainers keep it for the sake of published weights.
        kernel = 3 if batch_norm else 5
        self.branch1 = Conv(channels, one, 1, batch_norm=batch_norm)
        self.branch2 = nn.Sequential(
            Conv(channels, reduce3, 1, batch_norm=batch_norm), Conv(reduce3, three, 3, padding=1, batch_norm=batch_norm)
        )
        self.branch3 = nn.Sequential(
            Conv(channels, reduce5, 1, batch_norm=batch_norm),
            Conv(reduce5, five, kernel, padding=kernel // 2, batch_norm=batch_norm),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
            Conv(channels, pool, 1, batch_norm=batch_norm),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class AuxiliaryHead(nn.Module):
    """A classifier on a 14x14 map (section 5): pool to 4x4, 1x1 convolution, two linear layers.

    The paper's pool is 5x5 with stride 3, torchvision's adapts to 4x4: windows of 4 that overlap unevenly.
    """

    def __init__(self, channels: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((4, 4)) if batch_norm else nn.AvgPool2d(5, stride=3)
        self.conv = Conv(channels, 128, 1, batch_norm=batch_norm)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, 1000)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.flatten(self.conv(self.pool(x)), 1)
        return self.fc2(self.dropout(nn.functional.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000); state-dict keys as torchvision's.

    Args:
        batch_norm: torchvision's form; else the paper's.
        auxiliary: also give the outputs of the auxiliary heads, behind modules 4d and 4a, (N, 1000) each.
    """

    left_out = ("aux1.", "aux2.")

    def __init__(self, *, batch_norm: bool, auxiliary: bool = False) -> None:
        super().__init__()
        self.conv1 = Conv(3, 64, 7, stride=2, padding=3, batch_norm=batch_norm)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = Conv(64, 64, 1, batch_norm=batch_norm)
        self.conv3 = Conv(64, 192, 3, padding=1, batch_norm=batch_norm)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        modules = {name: Inception(*row, batch_norm=batch_norm) for name, row in MODULES.items()}
        self.inception3a, self.inception3b = modules["3a"], modules["3b"]
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a, self.inception4b, self.inception4c = modules["4a"], modules["4b"], modules["4c"]
        self.inception4d, self.inception4e = modules["4d"], modules["4e"]
        self.maxpool4 = nn.MaxPool2d(2 if batch_norm else 3, stride=2, ceil_mode=True)
        self.inception5a, self.inception5b = modules["5a"], modules["5b"]
        self.aux1 = AuxiliaryHead(512, batch_norm=batch_norm) if auxiliary else None
        self.aux2 = AuxiliaryHead(528, batch_norm=batch_norm) if auxiliary else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.2 if batch_norm else 0.4)
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        first = self.inception4a(x)
        second = self.inception4d(self.inception4c(self.inception4b(first)))
        x = self.maxpool4(self.inception4e(second))
        x = self.avgpool(self.inception5b(self.inception5a(x)))
        logits = self.fc(self.dropout(torch.flatten(x, 1)))
        if self.aux1 is None or self.aux2 is None:
            return logits
        return logits, self.aux2(second), self.aux1(first)


def googlenet() -> GoogLeNet:
    """Torchvision's form with batch norms."""
    return GoogLeNet(batch_norm=True)


def googlenet_paper() -> GoogLeNet:
    """The paper's table 1."""
    return GoogLeNet(batch_norm=False)


def googlenet_aux() -> GoogLeNet:
    """Torchvision's form with its auxiliary heads as further outputs."""
    return GoogLeNet(batch_norm=True, auxiliary=True)


def googlenet_paper_aux() -> GoogLeNet:
    """The paper's form with its auxiliary heads as further outputs."""
    return GoogLeNet(batch_norm=False, auxiliary=True)
