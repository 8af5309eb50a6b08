"""The canonical graph has names from the module tree, all parameters, and nothing of the machine that made it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from benchbox.export.module.canonical import canonicalise
from benchbox.export.module.tracing import proto_from_module
from benchbox.models.building import module_from_source
from benchbox.models.sources import resolve
from benchbox.models.zoo.zoo import spec
from benchbox.schema.artifact import OnnxArtifact

PROGRAM = """
import sys
from pathlib import Path
from benchbox.export.exporting import artifact_from_source
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision
source = resolve(sys.argv[1], input_shape=None, weights=None)
for precision in (Precision.FP32, Precision.FP16):
    print(artifact_from_source(source, precision=precision, root=Path(sys.argv[2])).sha256)
"""


def metadata(entry: onnx.NodeProto | onnx.ModelProto) -> dict[str, str]:
    return {item.key: item.value for item in entry.metadata_props}


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_the_same_network_gives_the_same_bytes_in_another_process(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    here: OnnxArtifact = request.getfixturevalue("lenet" if name == "lenet5" else "resnet")
    elsewhere = tmp_path / "elsewhere"
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, name, str(elsewhere / str(number))],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for number in range(2 if os.environ.get("BENCHBOX_TESTS") == "all" else 1)
    ]
    assert runs[0].splitlines()[0] == here.sha256
    assert len(set(runs)) == 1


def test_names_are_module_paths(resnet: OnnxArtifact, export_root: Path) -> None:
    graph = onnx.load(str(export_root / resnet.path)).graph
    modules = dict(module_from_source(resolve("resnet18", input_shape=None, weights=None), seed=0).named_modules())
    matrix = [node for node in graph.node if node.op_type in {"Conv", "Gemm"}]
    assert len(matrix) == 21
    for node in matrix:
        assert isinstance(modules[node.name], nn.Conv2d | nn.Linear)
        assert metadata(node)["benchbox.module"] == node.name
        assert node.input[1] == f"{node.name}.weight"
    assert len({node.name for node in graph.node}) == len(graph.node)
    assert [value.name for value in (*graph.input, *graph.output)] == ["input", "output"]
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_every_parameter_belongs_to_one_node(name: str, request: pytest.FixtureRequest, export_root: Path) -> None:
    artifact: OnnxArtifact = request.getfixturevalue("lenet" if name == "lenet5" else "resnet")
    proto = onnx.load(str(export_root / artifact.path))
    per_node = [int(metadata(node).get("benchbox.params", "0")) for node in proto.graph.node]
    assert sum(per_node) == spec(name).params == int(metadata(proto)["benchbox.params"]) == artifact.params


def test_nothing_of_the_machine_is_inside(resnet: OnnxArtifact, export_root: Path) -> None:
    structure = onnx.load(str(export_root / resnet.path))
    for tensor in structure.graph.initializer:
        tensor.ClearField("raw_data")  # random bytes spell anything
    data = structure.SerializeToString()
    for trace in (str(Path.cwd()), str(Path.home()), sys.prefix, ".py", "site-packages", "stack_trace"):
        assert trace.encode() not in data
    proto = onnx.load(str(export_root / resnet.path))
    keys = {item.key for node in proto.graph.node for item in node.metadata_props}
    assert keys == {"benchbox.module", "benchbox.layers", "benchbox.params"}
    assert proto.producer_name == "benchbox"
    onnx.checker.check_model(proto, full_check=True)


class Shared(nn.Module):
    """One layer used twice, a functional operation, and a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layer(self.norm(self.layer(x)))) * 2


def test_shared_and_unused_parameters_are_counted_once() -> None:
    module = Shared().eval()
    proto = proto_from_module(module, (4,), name="shared")
    canonicalise(proto, module, name="shared")
    onnx.checker.check_model(proto, full_check=True)
    per_node = sum(int(metadata(node).get("benchbox.params", "0")) for node in proto.graph.node)
    assert int(metadata(proto)["benchbox.params"]) == 20 + 8 + 3
    assert per_node == 20 + 8, "the unused parameter belongs to no node but to the network"
    names = [node.name for node in proto.graph.node]
    assert "layer" in names
    assert "layer_1" in names
    assert "sigmoid" in names
