"""The structure without weights is that of the real export, node for node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from graphs import cost_from_onnx
from torch import nn

from benchbox.errors import StoreError
from benchbox.export.module.canonical import canonicalise
from benchbox.export.module.tracing import proto_from_module
from benchbox.export.outline import structure_from_source
from benchbox.models.building import module_from_source, outline_from_source
from benchbox.models.sources import resolve


@pytest.mark.parametrize(
    "name",
    [
        "lenet5",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("squeezenet1_1", "resnet18", "preact_resnet18", "mobilenet_v3_small", "shufflenet_v2_x1_0")
        ),
    ],
)
def test_it_costs_what_the_deployed_file_costs(name: str, tmp_path: Path, exports: Any) -> None:
    source = resolve(name, input_shape=None, weights=None)
    assert source.input_shape is not None
    outline = exports.structure(name)
    module = module_from_source(source, seed=0)
    proto = proto_from_module(module, source.input_shape, name=name)
    canonicalise(proto, module, name=name)
    deployed = tmp_path / "deployed.onnx"
    deployed.write_bytes(proto.SerializeToString())
    assert outline.stat().st_size < 0.05 * deployed.stat().st_size
    costs = [cost_from_onnx(path, batch=2) for path in (outline, deployed)]
    assert costs[0] == costs[1]


def test_weights_of_an_outline_take_no_memory() -> None:
    module = outline_from_source(resolve("vgg16", input_shape=None, weights=None)).module
    assert sum(parameter.numel() for parameter in module.parameters()) == 138_357_544
    assert sum(tensor.untyped_storage().nbytes() for tensor in module.state_dict().values()) < 10_000


def test_it_is_made_once(tmp_path: Path) -> None:
    source = resolve("lenet5", input_shape=None, weights=None)
    said: list[str] = []
    first = structure_from_source(source, root=tmp_path, say=said.append)
    data = first.read_bytes()
    assert said
    said.clear()
    assert structure_from_source(source, root=tmp_path, say=said.append) == first
    assert said == []
    first.unlink()
    assert structure_from_source(source, root=tmp_path).read_bytes() == data


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("no folder")
    with pytest.raises(StoreError, match="cannot be written"):
        structure_from_source(resolve("lenet5", input_shape=None, weights=None), root=tmp_path)


def test_a_factory_is_asked_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mynet_outline.py").write_text(
        "from torch import nn\nwidth = 4\ndef net(): return nn.Linear(3, width)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = resolve("mynet_outline:net", input_shape=(3,), weights=None)
    assert cost_from_onnx(structure_from_source(source, root=tmp_path)).macs == 12
    import mynet_outline

    mynet_outline.width = 5
    assert cost_from_onnx(structure_from_source(source, root=tmp_path)).macs == 15


def test_layers_are_noted_on_nodes() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1)).eval()
    with torch.no_grad():
        module[1].running_mean.uniform_()
    proto = proto_from_module(module, (3, 8, 8), name="net")
    canonicalise(proto, module, name="net")
    noted = {n.name: {e.key: e.value for e in n.metadata_props}.get("benchbox.layers") for n in proto.graph.node}
    assert noted == {"0": "Conv2d+bias BatchNorm2d", "2": "ReLU", "3": "Conv2d+bias"}
    assert isinstance(proto, onnx.ModelProto)
