"""What is ENet, as a classifier?

Paszke, Chaurasia, Kim, Culurciello 2016 (arXiv 1606.02147), table 1: a network for segmentation in real time. Its
encoder, pretrained on ImageNet, is the ENet of Canziani, Paszke, Culurciello 2016 (arXiv 1605.07678): an initial block
that shrinks the image early, bottlenecks with plain, dilated and asymmetric convolutions, PReLUs. What the paper leaves
open is as in the authors' ``train/models/encoder.lua`` (github.com/e-lab/ENet-training): a bottleneck's inner width is
a quarter of its *output*, the row convolution comes before the column, the main convolutions have biases. Neither paper
prints the classifier. Here it is global average pooling and one linear layer, 0.47 M parameters; what can be read off
the second paper's charts (68 % top-1 at 11.6 % per million parameters, so 5.8 M) means that theirs was much wider.
"""

from __future__ import annotations

import torch
from torch import nn

from benchbox.models.seeding import damped

PROJECTION = 4  # a bottleneck is this much narrower inside than at its output
EPS = 0.001


class Initial(nn.Module):
    """A 3x3 convolution and a pool side by side, both halving the map (figure 2a)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 13, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2, stride=2)
        self.bn = nn.BatchNorm2d(16, eps=EPS)
        self.prelu = nn.PReLU(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.prelu(self.bn(torch.cat([self.conv(x), self.pool(x)], 1)))


class Bottleneck(nn.Module):
    """1x1 to narrow, a main convolution, 1x1 to widen, added to what came in (figure 2b).

    Args:
        channels: of the input.
        out_channels: of the output.
        downsample: halve the map: the projection is 2x2 with stride 2, the shortcut a pool padded with zero channels.
        dilation: of the main 3x3 convolution.
        asymmetric: the main convolution is 1x5 then 5x1.
        dropout: of whole channels, at the end of the branch.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        *,
        downsample: bool = False,
        dilation: int = 1,
        asymmetric: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        width = out_channels // PROJECTION
        side = 2 if downsample else 1
        if asymmetric:
            main: list[nn.Module] = [
                nn.Conv2d(width, width, (1, 5), padding=(0, 2), bias=False),
                nn.Conv2d(width, width, (5, 1), padding=(2, 0)),
            ]
        else:
            main = [nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)]
        self.branch = nn.Sequential(
            nn.Conv2d(channels, width, side, stride=side, bias=False),
            nn.BatchNorm2d(width, eps=EPS),
            nn.PReLU(width),
            *main,
            nn.BatchNorm2d(width, eps=EPS),
            nn.PReLU(width),
            nn.Conv2d(width, out_channels, 1, bias=False),
            damped(nn.BatchNorm2d(out_channels, eps=EPS), 0.25),
            nn.Dropout2d(dropout),
        )
        self.pool = nn.MaxPool2d(2, stride=2) if downsample else None
        self.padding = out_channels - channels
        self.prelu = nn.PReLU(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.pool is None else self.pool(x)
        if self.padding:
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, 0, self.padding))
        return self.prelu(self.branch(x) + shortcut)


def stage_of_mixed_convolutions() -> list[Bottleneck]:
    """Bottlenecks 2.1 to 2.8, and 3.1 to 3.8 again: plain, dilated 2, asymmetric, dilated 4, and so on to 16."""
    return [
        Bottleneck(128, 128),
        Bottleneck(128, 128, dilation=2),
        Bottleneck(128, 128, asymmetric=True),
        Bottleneck(128, 128, dilation=4),
        Bottleneck(128, 128),
        Bottleneck(128, 128, dilation=8),
        Bottleneck(128, 128, asymmetric=True),
        Bottleneck(128, 128, dilation=16),
    ]


class ENet(nn.Module):
    """Input (N, 3, 224, 224), output (N, 1000): the encoder of table 1, an average and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.initial = Initial()
        self.stage1 = nn.Sequential(
            Bottleneck(16, 64, downsample=True, dropout=0.01), *(Bottleneck(64, 64, dropout=0.01) for _ in range(4))
        )
        self.stage2 = nn.Sequential(Bottleneck(64, 128, downsample=True), *stage_of_mixed_convolutions())
        self.stage3 = nn.Sequential(*stage_of_mixed_convolutions())
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(128, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stage3(self.stage2(self.stage1(self.initial(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def enet() -> ENet:
    """The encoder of ENet as a classifier."""
    return ENet()
