"""Parameters of files from PyTorch's own exporters, whatever these folded, shared or dropped."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from graphs import cost_from_onnx
from onnx import TensorProto, helper, numpy_helper
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


def saved(path: Path, nodes: list[onnx.NodeProto], kind: int, shape: list[int], **stored: np.ndarray) -> Path:
    """A file with one input x and one output y."""
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(
        nodes, "net", inputs, outputs, [numpy_helper.from_array(array, name) for name, array in stored.items()]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_weights_in_bytes_that_arithmetic_widens_count(tmp_path: Path) -> None:
    """Their scales and zero points do not."""
    nodes = [
        helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["wide", "zeros"], ["centred"]),
        helper.make_node("Mul", ["centred", "scales"], ["weight"]),
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
    ]
    numbers = {"zeros": np.ones(4, np.float32), "scales": np.full(4, 0.1, np.float32)}
    weight = np.arange(32, dtype=np.int8).reshape(8, 4)
    path = saved(tmp_path / "net.onnx", nodes, TensorProto.FLOAT, [1, 8], w=weight, **numbers)
    assert cost_from_onnx(path).params == 32


def test_numbers_in_the_arithmetic_of_masks_and_sizes_are_no_parameters(tmp_path: Path) -> None:
    mask = [
        helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "c"], ["i"]),
        helper.make_node("Mul", ["i", "large"], ["m"]),
        helper.make_node("Add", ["m", "bias"], ["y"]),
    ]
    stored = {"one": np.float32(1), "large": np.float32(-1e4), "bias": np.ones(8, np.float32)}
    path = saved(
        tmp_path / "mask.onnx", mask, TensorProto.INT64, [1, 8], **{k: np.asarray(v) for k, v in stored.items()}
    )
    assert cost_from_onnx(path).params == 8
    size = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "last"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "half"], ["h"]),
        helper.make_node("Mul", ["x", "h"], ["y"]),
    ]
    path = saved(
        tmp_path / "size.onnx", size, TensorProto.FLOAT, [1, 8], last=np.array(1), half=np.array(0.55, np.float32)
    )
    assert cost_from_onnx(path).params == 0


def _f(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def test_frequencies_of_positions_are_no_parameters(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["f", "axis"], ["row"]),
        helper.make_node("MatMul", ["frequencies", "row"], ["angles"]),
        helper.make_node("Sin", ["angles"], ["sines"]),
        helper.make_node("MatMul", ["w", "sines"], ["y"]),
    ]
    stored = {"axis": np.array([1]), "frequencies": np.ones((1, 8, 1), np.float32), "w": np.ones((4, 8), np.float32)}
    path = saved(tmp_path / "net.onnx", nodes, TensorProto.INT64, [1, 5], **stored)
    assert cost_from_onnx(path).params == 32


def test_numbers_that_a_formula_is_written_with_are_no_parameters(tmp_path: Path) -> None:
    """Simplified files have them as initialisers: a GELU, a layer norm in steps, attention, pictures."""
    node, w = helper.make_node, np.ones((8, 8), np.float32)
    erf = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Div", ["h", "root"], ["d"]),
        node("Erf", ["d"], ["e"]),
        node("Add", ["e", "one"], ["e1"]),
        node("Mul", ["h", "e1"], ["m"]),
        node("Mul", ["m", "half"], ["y"]),
    ]
    assert _params(tmp_path, erf, w=w, root=_f(2**0.5), one=_f(1), half=_f(0.5)) == 64
    tanh = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Pow", ["h", "three"], ["p"]),
        node("Mul", ["p", "a"], ["q"]),
        node("Add", ["h", "q"], ["s"]),
        node("Mul", ["s", "b"], ["r"]),
        node("Tanh", ["r"], ["t"]),
        node("Add", ["t", "one"], ["t1"]),
        node("Mul", ["h", "half"], ["hh"]),
        node("Mul", ["hh", "t1"], ["y"]),
    ]
    assert _params(tmp_path, tanh, w=w, three=_f(3), a=_f(0.044715), b=_f(0.7979), one=_f(1), half=_f(0.5)) == 64
    norm = [
        node("ReduceMean", ["x"], ["mean"], axes=[-1]),
        node("Sub", ["x", "mean"], ["d"]),
        node("Mul", ["d", "d"], ["square"]),
        node("ReduceMean", ["square"], ["v"], axes=[-1]),
        node("Add", ["v", "epsilon"], ["ve"]),
        node("Sqrt", ["ve"], ["s"]),
        node("Div", ["d", "s"], ["n"]),
        node("Mul", ["n", "gain"], ["g"]),
        node("Add", ["g", "shift"], ["y"]),
    ]
    assert _params(tmp_path, norm, epsilon=_f(1e-12), gain=np.ones(8, np.float32), shift=np.ones(8, np.float32)) == 16
    scores = [
        node("MatMul", ["x", "w"], ["q"]),
        node("Transpose", ["q"], ["k"], perm=[0, 2, 1]),
        node("MatMul", ["q", "k"], ["s"]),
        node("Mul", ["s", "scale"], ["scaled"]),
        node("Softmax", ["scaled"], ["p"]),
        node("MatMul", ["p", "q"], ["y"]),
    ]
    assert _params(tmp_path, scores, w=w, scale=_f(8**-0.5)) == 64
    queries = [
        node("MatMul", ["x", "w"], ["q0"]),
        node("Mul", ["q0", "scale"], ["q"]),
        node("Transpose", ["q0"], ["k"], perm=[0, 2, 1]),
        node("MatMul", ["q", "k"], ["s"]),
        node("Softmax", ["s"], ["p"]),
        node("MatMul", ["p", "q0"], ["y"]),
    ]
    assert _params(tmp_path, queries, w=w, scale=_f(8**-0.5)) == 64
    pictures = [
        node("Sub", ["x", "mean"], ["d"]),
        node("Div", ["d", "deviation"], ["n"]),
        node("MatMul", ["n", "w"], ["y"]),
    ]
    assert _params(tmp_path, pictures, w=w, mean=np.ones(8, np.float32), deviation=np.ones(8, np.float32)) == 64


def test_scalars_that_a_network_learnt_count(tmp_path: Path) -> None:
    """A temperature, and CLIP's scale of two products, behind which no Softmax is."""
    node, w = helper.make_node, np.ones((8, 8), np.float32)
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Mul", ["h", "temperature"], ["y"])]
    assert _params(tmp_path, nodes, w=w, temperature=_f(3)) == 65
    nodes = [
        node("MatMul", ["x", "w"], ["i"]),
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["i", "t"], ["s"]),
        node("Mul", ["s", "scale"], ["y"]),
    ]
    assert _params(tmp_path, nodes, w=w, scale=_f(100)) == 65


def _params(folder: Path, nodes: list[onnx.NodeProto], **stored: np.ndarray) -> int:
    path = saved(folder / "net.onnx", nodes, TensorProto.FLOAT, [1, 5, 8], **stored)
    return cost_from_onnx(path).params
