"""Other counters' numbers are reproduced exactly: the packages themselves are run on networks of the zoo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch._dynamo  # noqa: F401
import torch._numpy  # noqa: F401 - ptflops replaces functions of PyTorch while it counts; what imports them then is confused
from graphs import saved, small_network
from other_counters import RUNNING, SHAPES_ONLY, quiet
from torch import nn

from benchbox.cost.conventions import require_convention
from benchbox.cost.counters import COUNTERS, count_of
from benchbox.cost.counting import cost_from_graph
from benchbox.errors import UsageError
from benchbox.graph.graph import Graph, graph_from_file
from benchbox.models.zoo.zoo import build, spec, specs

# Local response normalisation, and heads beside the main one: kinds of their own within their families.
ALSO = ("alexnet_paper", "googlenet_paper_aux")
# What they are built of is in the others too, and counting them takes longest.
LARGE = ("inception_v3", "inception_v4", "vgg11")


def one_of_each_kind() -> list[Any]:
    """Every network of the zoo; the one with the least to compute of its family in every run, most others nightly."""
    least: dict[str, str] = {}
    for name in sorted(specs(), key=lambda name: spec(name).macs):
        least.setdefault(spec(name).family, name)
    always = {*least.values(), *ALSO} - {*LARGE}
    return [pytest.param(name, marks=() if name in always else pytest.mark.nightly) for name in specs()]


def without_weights(name: str) -> nn.Module:
    """The network in eval mode on "meta": nothing is drawn, and what is counted does not depend on values."""
    with torch.device("meta"):
        return build(name).eval()


def with_zeros(module: nn.Module) -> nn.Module:
    """The same network on the CPU, all its parameters and buffers zero."""
    module.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
    return module


@pytest.mark.parametrize("name", one_of_each_kind())
def test_every_counter_of_layers(name: str, zoo_graph: Callable[[str], Graph]) -> None:
    shape = spec(name).input_shape
    with quiet():
        module = without_weights(name)
        theirs = {counter: count(module, shape) for counter, count in SHAPES_ONLY.items()}
        module = with_zeros(module)
        theirs |= {counter: count(module, shape) for counter, count in RUNNING.items()}
    assert {counter: count_of(COUNTERS[counter], zoo_graph(name), compared=True).total for counter in theirs} == theirs
    assert count_of(COUNTERS["torchvision"], zoo_graph(name)).total == spec(name).macs


def onnx_tools(name: str, structure: Path) -> int:
    """What onnx-tool counts on the exported graph; it needs weights, and looks longest at zeros: ones."""
    import onnx_tool

    proto = onnx.load(str(structure), load_external_data=False)
    for tensor in proto.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ones(tuple(tensor.dims), np.float32), tensor.name))
    with quiet():
        model = onnx_tool.Model(proto, {"verbose": False})
        model.graph.shape_infer({"input": np.zeros((1, *spec(name).input_shape), np.float32)})
        model.graph.profile()
    macs: Any = model.graph.macs
    return int(macs[0] if isinstance(macs, list | tuple) else macs)


@pytest.mark.parametrize("name", one_of_each_kind())
def test_onnx_tool(name: str, zoo_graph: Callable[[str], Graph], exports: Any) -> None:
    assert count_of(COUNTERS["onnx-tool"], zoo_graph(name)).total == onnx_tools(name, exports.counted(name))


def test_parts_add_up_and_say_why(zoo_graph: Callable[[str], Graph]) -> None:
    count = count_of(COUNTERS["fvcore"], zoo_graph("resnet18"))
    assert sum(count.parts.values()) == count.total
    assert count.parts["batch norms, 2 per element"] == count.total - spec("resnet18").macs - 512 * 49


def test_inception_v4_is_what_timm_publishes(zoo_graph: Callable[[str], Graph]) -> None:
    """infer_gmacs and param_count of timm's results/benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv, by fvcore."""
    assert f"{count_of(COUNTERS['fvcore'], zoo_graph('inception_v4')).total / 1e9:.2f}" == "12.28"
    assert f"{spec('inception_v4').params / 1e6:.2f}" == "42.68"


def test_a_counter_is_a_convention_of_the_table(zoo_graph: Callable[[str], Graph]) -> None:
    for name in COUNTERS:
        cost = cost_from_graph(zoo_graph("lenet5"), model="lenet5", sha256="", convention=name)
        assert cost.count == count_of(COUNTERS[name], zoo_graph("lenet5")).total
        assert require_convention(name) == name


def test_counters_of_layers_refuse_a_file_without_layers(tmp_path: Path) -> None:
    graph = graph_from_file(saved(tmp_path / "net.onnx", small_network()))
    for name in ("fvcore", "ptflops", "torchinfo"):
        with pytest.raises(UsageError, match="does not name"):
            count_of(COUNTERS[name], graph)
        with pytest.raises(UsageError, match="does not name"):
            cost_from_graph(graph, model="net", sha256="", convention=name)
    assert count_of(COUNTERS["torchvision"], graph).total > 0


def test_an_unknown_counter_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="ptflops"):
        require_convention("ptflop")
