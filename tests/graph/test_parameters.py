"""Parameters of files from PyTorch's own exporters, whatever these folded, shared or dropped."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from graphs import cost_from_onnx
from torch import nn


class Tied(nn.Module):
    """A language model in small: the embedding is also the output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(6, 12, bias=False)
        self.middle = nn.Linear(12, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.middle(self.embedding(x)), self.embedding.weight)


class ScaledBranch(nn.Module):
    """Layer scale and a class token, reshaped in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(1e-6 * torch.ones(8))
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.register_buffer("offset", torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        return x * self.gamma.view(1, 1, 8) + self.offset.detach().exp()


def untrained() -> nn.Sequential:
    """Equal biases and norms, as in every network before training."""
    layers = [nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU()) for _ in range(3)]
    for layer in layers:
        nn.init.zeros_(layer[0].bias)
    return nn.Sequential(*layers)


def convolutions(*, biased: bool) -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=biased), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8, bias=biased), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return net


CASES = {
    "folded": (lambda: convolutions(biased=False), (3, 8, 8)),
    "tied": (Tied, (4, 6)),
    "reshaped": (ScaledBranch, (4, 8)),
    "untrained": (untrained, (4, 8)),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2), nn.PReLU(6)), (4, 5, 5)),
    "attention": (lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (4, 16)),
}


# What the TorchScript exporter leaves no trace of: tied weights become two, buffers look like parameters; and attention
# it cannot export.
UNTRACEABLE = {"tied", "reshaped", "attention"}


@pytest.mark.parametrize(
    ("case", "dynamo"),
    [(case, dynamo) for case in CASES for dynamo in (True, False) if dynamo or case not in UNTRACEABLE],
)
def test_all_parameters_are_found(case: str, dynamo: bool, tmp_path: Path) -> None:
    build, shape = CASES[case]
    torch.manual_seed(0)
    module = build().eval()
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"verbose": False} if dynamo else {"opset_version": 17}
        torch.onnx.export(module, (torch.zeros(1, *shape),), str(path), dynamo=dynamo, **options)
    assert cost_from_onnx(path).params == sum(parameter.numel() for parameter in module.parameters())


def test_a_folded_bias_is_known_from_the_newer_exporter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = convolutions(biased=True).eval()
    path = tmp_path / "net.onnx"
    torch.onnx.export(module, (torch.zeros(2, 3, 8, 8),), str(path), dynamo=True, verbose=False)
    assert cost_from_onnx(path).params == sum(parameter.numel() for parameter in module.parameters())
