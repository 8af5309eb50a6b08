"""Shares of executed types: by hand and at random, and of what real runtimes tell of one network in every precision."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.base import BACKENDS, LayerReporting, OpenRequest
from benchbox.backends.openvino.cpu import cpu_capabilities
from benchbox.backends.tensorrt.inspector import layers_from_inspection
from benchbox.cost.counting import cost_from_graph
from benchbox.cost.executed.proof import proof_from_layers
from benchbox.graph.graph import Graph, graph_from_file
from benchbox.jobs.prepare import graph_precision
from benchbox.models.building import module_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.proof import TF32_ABSENT, TF32_ALLOWED, TF32_FORBIDDEN, TF32_OPTION, UNCOVERED, UNREPORTED, Proof
from benchbox.stats.inputs import seeded_arrays

LENET = resolve("lenet5", input_shape=None, weights=None)
# Multiply-adds of LeNet-5's layers by hand: output positions x channels out x channels in x kernel.
MACS = {"conv1": 28 * 28 * 20 * 1 * 25, "conv2": 14 * 14 * 50 * 20 * 25, "fc1": 7 * 7 * 50 * 500, "fc2": 500 * 10}
WHOLE = sum(MACS.values())
TYPES = ("fp32", "fp16", "bf16", "int8", "")


@pytest.fixture
def lenet(zoo_graph: Callable[[str], Graph]) -> Graph:
    return zoo_graph("lenet5")


def proof_of(graph: Graph, layers: list[ExecutedLayer], **choices: Any) -> Proof:
    cost = cost_from_graph(graph, model="lenet5", sha256="")
    assert cost.macs == WHOLE
    chosen = {"precision": Precision.FP16, "required": 0.9, **choices}
    return proof_from_layers(graph, cost, layers, **chosen)


def ran(types: Mapping[str, str]) -> list[ExecutedLayer]:
    """Layers that stand for one node each, in the types given."""
    return [
        ExecutedLayer(name=f"kernel of {node}", kind="k", nodes=(node,), inputs=(kind,) if kind else ())
        for node, kind in types.items()
    ]


def test_shares_by_hand(lenet: Graph) -> None:
    proof = proof_of(lenet, ran({"conv1": "fp32", "conv2": "fp16", "fc1": "fp16", "fc2": ""}))
    halves = MACS["conv2"] + MACS["fc1"]
    assert proof.macs["fp16"] == proof.share == pytest.approx(halves / WHOLE)
    assert proof.macs["fp32"] == pytest.approx(MACS["conv1"] / WHOLE)
    assert proof.macs[UNREPORTED] == pytest.approx(MACS["fc2"] / WHOLE)
    assert [(layer.name, layer.type, layer.macs) for layer in proof.layers] == [
        ("conv1", "fp32", MACS["conv1"]),
        ("fc2", UNREPORTED, MACS["fc2"]),
    ]
    assert sum(proof.bytes.values()) == pytest.approx(1)
    assert proof.bytes["fp16"] > 0.5, "fc1 has most of the weights"


def test_what_no_layer_covers_counts(lenet: Graph) -> None:
    proof = proof_of(lenet, ran({"conv1": "fp16", "conv2": "fp16"}))
    assert proof.macs[UNCOVERED] == pytest.approx((MACS["fc1"] + MACS["fc2"]) / WHOLE)
    assert {layer.name for layer in proof.layers} == {"fc1", "fc2"}
    nothing = proof_of(lenet, [])
    assert nothing.macs == {UNCOVERED: 1.0, "fp16": 0.0}
    assert nothing.bytes == {UNCOVERED: 1.0, "fp16": 0.0}
    assert nothing.passed is None, "nothing was told, so nothing is proved, nor refuted"


@settings(deadline=None)
@given(
    types=st.fixed_dictionaries({}, optional={node: st.sampled_from(TYPES) for node in MACS}),
    asked=st.sampled_from([Precision.FP32, Precision.FP16, Precision.INT8, Precision.FP8]),
    required=st.floats(0, 1),
)
def test_shares_add_up_to_one(
    zoo_graph: Callable[[str], Graph], types: dict[str, str], asked: Precision, required: float
) -> None:
    proof = proof_of(zoo_graph("lenet5"), ran(types), precision=asked, required=required)
    assert sum(proof.macs.values()) == pytest.approx(1, abs=1e-12)
    # What runs in whole numbers moves no bytes of any precision but int8: then there is nothing to share out.
    whole_numbers = asked is not Precision.INT8 and all(types.get(node) == "int8" for node in MACS)
    assert sum(proof.bytes.values()) == pytest.approx(0 if whole_numbers else 1, abs=1e-12)
    assert all(0 <= share <= 1 for share in (*proof.macs.values(), *proof.bytes.values()))
    assert sum(layer.macs for layer in proof.layers) == pytest.approx((1 - proof.share) * WHOLE, abs=1e-3)
    if proof.passed:
        assert proof.share >= required - 1e-9
    hidden = proof.macs.get(UNREPORTED, 0) + proof.macs.get(UNCOVERED, 0)
    if proof.passed is False:
        assert proof.share + hidden < required


@pytest.mark.parametrize(
    ("types", "required", "passed"),
    [
        (dict.fromkeys(MACS, "fp16"), 1.0, True),
        ({**dict.fromkeys(MACS, "fp16"), "fc2": "fp32"}, 0.99, True),
        ({**dict.fromkeys(MACS, "fp16"), "fc2": "fp32"}, 1.0, False),
        ({**dict.fromkeys(MACS, "fp16"), "fc2": ""}, 1.0, None),
        ({"conv1": "fp32", "conv2": "", "fc1": "fp16", "fc2": "fp16"}, 0.95, False),
        (dict.fromkeys(MACS, "fp32"), 0.0, True),
        (dict.fromkeys(MACS, "fp32"), 0.001, False),
    ],
)
def test_passing(lenet: Graph, types: dict[str, str], required: float, passed: bool | None) -> None:
    assert proof_of(lenet, ran(types), required=required).passed is passed


@pytest.mark.parametrize(
    ("asked", "switch", "passed"),
    [
        (Precision.TF32, TF32_ALLOWED, True),
        (Precision.TF32, TF32_FORBIDDEN, False),
        (Precision.FP32, TF32_FORBIDDEN, True),
        (Precision.FP32, TF32_ABSENT, True),
        (Precision.FP32, TF32_ALLOWED, False),
        (Precision.FP32, "", True),
    ],
)
def test_tf32_and_fp32_differ_by_the_switch_alone(lenet: Graph, asked: Precision, switch: str, passed: bool) -> None:
    proof = proof_of(lenet, ran(dict.fromkeys(MACS, "fp32")), precision=asked, tf32=switch)
    assert (proof.macs, proof.tf32, proof.passed) == ({"fp32": 1.0}, switch, passed)


def test_products_inside_a_module_belong_to_the_innermost_one(lenet: Graph) -> None:
    """PyTorch tells modules, not nodes; "" is the network itself, which has what no module of its own has."""
    layers = [
        ExecutedLayer(name=path or "net", kind="linear", computes=kind, module=path)
        for path, kind in {"conv1": "fp16", "": "fp32", "fc1": "fp16"}.items()
    ]
    proof = proof_of(lenet, layers)
    assert proof.macs["fp16"] == pytest.approx((MACS["conv1"] + MACS["fc1"]) / WHOLE)
    assert UNCOVERED not in proof.macs
    assert [layer.macs for layer in proof.layers] == [MACS["conv2"] + MACS["fc2"]]


def test_what_is_inside_of_a_loop_says_what_it_computes_in(tmp_path: Path) -> None:
    """A runtime reports the type of a Loop's condition, and the products inside as layers of their own."""
    (path := tmp_path / "net.onnx").write_bytes(looped().SerializeToString())
    graph = graph_from_file(path, batch=1)
    cost = cost_from_graph(graph, model="net", sha256="")
    layers = [
        ExecutedLayer(name="product", kind="MatMul", tensors=("product",), inputs=("int8",)),
        ExecutedLayer(name="loop", kind="Loop", tensors=("loop",)),
    ]
    choices: dict[str, Any] = {"precision": Precision.INT8, "required": 0.9}
    alone = proof_from_layers(graph, cost, layers, **choices)
    assert alone.macs == {UNREPORTED: 0.75, "int8": 0.25}
    inner = ExecutedLayer(name="inner_token_3", kind="MatMul", tensors=("inner",), inputs=("fp32",))
    proof = proof_from_layers(graph, cost, [*layers, inner], **choices)
    assert proof.macs == {"fp32": 0.75, "int8": 0.25}
    assert proof.passed is False
    condition = ExecutedLayer(name="loop", kind="Loop", tensors=("loop",), computes="int8")
    assert proof_from_layers(graph, cost, [layers[0], condition], **choices).macs == alone.macs, "bytes of a condition"
    other = ExecutedLayer(name="other", kind="Identity", tensors=("beside",), inputs=("fp32",))
    assert proof_from_layers(graph, cost, [*layers, other], **choices).macs == proof.macs, "no product was reported"


def looped() -> onnx.ModelProto:
    """A product, and a Loop of three turns around another one of the same size."""
    sizes, kind = ["batch", 4], TensorProto.FLOAT
    turn = [helper.make_tensor_value_info("turn", TensorProto.INT64, []), helper.make_tensor_value_info("go", 9, [])]
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "w"], ["next"], name="inner"),
            helper.make_node("Relu", ["next"], ["end"], name="beside"),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [*turn, helper.make_tensor_value_info("h", kind, sizes)],
        [helper.make_tensor_value_info("on", 9, []), helper.make_tensor_value_info("end", kind, sizes)],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="product"),
        helper.make_node("Loop", ["turns", "", "a"], ["y"], name="loop", body=body),
    ]
    weights = [
        numpy_helper.from_array(np.ones((4, 4), np.float32), "w"),
        numpy_helper.from_array(np.array(3, np.int64), "turns"),
    ]
    border = [helper.make_tensor_value_info(name, kind, sizes) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)


def inspected(dialect: str, kinds: Mapping[str, str]) -> list[ExecutedLayer]:
    """What TensorRT's inspector would tell of an engine with a layer for each node."""

    def tensor(kind: str) -> dict[str, str]:
        if dialect == "ten":
            return {"Name": "t", "Format/Datatype": f"Row major linear {kind}"}
        return {"Name": "t", "Format": "Row-Major Linear", "Datatype": kind}

    entries = [
        {
            "Name": f"{node}_gemm",
            "LayerType": "gemm",
            "Inputs": [tensor(kind)],
            "Outputs": [tensor(kind)],
            "Metadata": f"[ONNX Layer: {node}]\x1e[ONNX Layer: {node}.bias]",
        }
        for node, kind in kinds.items()
    ]
    return list(layers_from_inspection(json.dumps({"Layers": entries})))


@pytest.mark.parametrize("dialect", ["ten", "eleven"])
def test_what_tensorrts_inspector_tells(lenet: Graph, dialect: str) -> None:
    words = ("Int8", "Int8", "Half", "FP32") if dialect == "ten" else ("Int8", "Int8", "FP16", "Float")
    proof = proof_of(lenet, inspected(dialect, dict(zip(MACS, words, strict=True))), precision=Precision.INT8)
    assert proof.macs["int8"] == pytest.approx((MACS["conv1"] + MACS["conv2"]) / WHOLE)
    assert proof.macs["fp16"] == pytest.approx(MACS["fc1"] / WHOLE)
    assert proof.macs["fp32"] == pytest.approx(MACS["fc2"] / WHOLE)


def test_a_region_that_shows_its_border_only_is_untold(lenet: Graph) -> None:
    region = {
        "Name": "{ForeignNode[conv1...fc2]}",
        "LayerType": "Myelin",
        "Inputs": [{"Name": "input", "Format/Datatype": "Row major linear FP32"}],
        "Outputs": [],
        "Metadata": "".join(f"[ONNX Layer: {node}]\x1e" for node in MACS),
    }
    proof = proof_of(lenet, list(layers_from_inspection(json.dumps({"Layers": [region]}))))
    assert (proof.macs, proof.passed) == ({UNREPORTED: 1.0, "fp16": 0.0}, None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proofs")


@pytest.fixture(scope="module")
def artifacts(root: Path, exports: Any) -> Callable[[Precision], OnnxArtifact]:
    return functools.cache(lambda precision: exports.copy_to(root, "lenet5", precision.value))


CASES = [
    ("onnxruntime", Precision.FP32, {"fp32": 1.0}),
    ("onnxruntime", Precision.FP16, {"fp32": 1.0, "fp16": 0.0}),
    # ONNX Runtime fuses no Gemm of a Q/DQ graph whose output is not quantised.
    ("onnxruntime", Precision.INT8, {"int8": (MACS["conv1"] + MACS["conv2"]) / WHOLE}),
    ("openvino", Precision.FP32, {"fp32": 1.0}),
    ("openvino", Precision.BF16, {"bf16": 1.0}),
    ("openvino", Precision.INT8, {"int8": 1.0}),
    ("pytorch", Precision.FP32, {"fp32": 1.0}),
    ("pytorch", Precision.FP16, {"fp16": 1.0}),
]


@pytest.mark.parametrize(("backend", "precision", "wanted"), CASES, ids=lambda value: str(value))
def test_real_runtimes(
    backend: str,
    precision: Precision,
    wanted: dict[str, float],
    artifacts: Callable[[Precision], OnnxArtifact],
    root: Path,
) -> None:
    if backend == "openvino" and precision.value.upper() not in {"FP32", *cpu_capabilities()}:
        pytest.skip(f"runs on a CPU that computes in {precision}")
    artifact = artifacts(graph_precision(backend, precision))
    specs = [
        tuple(dataclasses.replace(spec, shape=(1, *spec.shape[1:])) for spec in part)
        for part in (artifact.inputs, artifact.outputs)
    ]
    request = OpenRequest(
        precision=precision,
        threads=1,
        inputs=specs[0],
        outputs=specs[1],
        onnx_path=root / artifact.path,
        module=lambda: module_from_source(LENET, seed=0),
        inspect=True,
    )
    session = BACKENDS.get(backend).open(request)
    assert isinstance(session, LayerReporting)
    for seed in range(2):
        session.upload(0, seeded_arrays(artifact.inputs, seed=seed, samples=1))
        session.enqueue(0)
    layers, options = session.reported_layers(), session.evidence().options
    session.close()
    graph = graph_from_file(root / artifact.path, batch=1, input_shape=(1, 28, 28))
    proof = proof_of(graph, list(layers), precision=precision, tf32=options[TF32_OPTION])
    for kind, share in wanted.items():
        assert proof.macs[kind] == pytest.approx(share), proof
    assert UNCOVERED not in proof.macs
    assert proof.tf32 == TF32_ABSENT, "a CPU has none"
    assert sum(proof.bytes.values()) == pytest.approx(1)
