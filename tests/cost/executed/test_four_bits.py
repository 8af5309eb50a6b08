"""What reads weights of four bits counts as int4, as far as the runtime tells: by hand, and of real runtimes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.base import BACKENDS, LayerReporting, OpenRequest
from benchbox.backends.tensorrt.inspector import layers_from_inspection
from benchbox.cost.counting import cost_from_graph
from benchbox.cost.executed.proof import proof_from_layers
from benchbox.graph.graph import graph_from_file
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.proof import UNREPORTED, Proof

MACS = {"first": 8 * 64 * 32, "scores": 8 * 32 * 8, "mix": 8 * 8 * 32, "last": 8 * 32 * 16}
WHOLE = sum(MACS.values())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of four bits in ``first``, of 32 in ``last``, and two products of activations."""
    seeded = np.random.default_rng(1)
    values = seeded.integers(-8, 8, 64 * 32)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["w.dq"], name="w.dq", axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "w.dq"], ["a"], name="first"),
        helper.make_node("Transpose", ["a"], ["t"], name="turn"),
        helper.make_node("MatMul", ["a", "t"], ["s"], name="scores"),
        helper.make_node("MatMul", ["s", "a"], ["m"], name="mix"),
        helper.make_node("MatMul", ["m", "v"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 16])],
        [
            helper.make_tensor("w", TensorProto.INT4, [64, 32], values.tolist()),
            numpy_helper.from_array(np.full((2, 32), 0.01, np.float32), "scale"),
            numpy_helper.from_array(seeded.standard_normal((32, 16)).astype(np.float32), "v"),
        ],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def proof_of(file: Path, layers: tuple[ExecutedLayer, ...], precision: Precision = Precision.INT4) -> Proof:
    graph = graph_from_file(file)
    cost = cost_from_graph(graph, model="net", sha256="")
    assert cost.macs == WHOLE
    return proof_from_layers(graph, cost, layers, precision=precision, required=0.6)


def layer(name: str, *nodes: str, kind: str = "MatMul", inputs: tuple[str, ...] = ("fp32",)) -> ExecutedLayer:
    return ExecutedLayer(name=name, kind=kind, nodes=nodes, inputs=inputs)


REST = (layer("b", "turn", "scores"), layer("c", "mix"), layer("d", "last"))


@pytest.mark.parametrize(
    ("layers", "kind", "passed"),
    [
        ((layer("a", "w.dq", "first", kind="MatMulNBits"),), "int4", True),
        ((layer("a", "w.dq", "first", inputs=("fp16", "int4")),), "int4", True),
        # It covers the weights and does not say how it reads them.
        ((layer("a", "w.dq", "first", inputs=("fp16",)),), UNREPORTED, None),
        # They were widened by a layer of its own before.
        ((layer("w", "w.dq", kind="DequantizeLinear", inputs=("int4",)), layer("a", "first")), "fp32", False),
    ],
)
def test_by_hand(file: Path, layers: tuple[ExecutedLayer, ...], kind: str, passed: bool | None) -> None:
    proof = proof_of(file, (*layers, *REST))
    share = MACS["first"] / WHOLE
    assert proof.macs[kind] == pytest.approx(1.0 if kind == "fp32" else share)
    assert proof.share == pytest.approx(share if kind == "int4" else 0.0)
    assert proof.passed is passed
    # In another precision a layer counts by what it computes in, as ever.
    assert proof_of(file, (*layers, *REST), Precision.FP32).macs["fp32"] >= 1 - share - 1e-9


def test_a_region_with_other_products_says_too_little(file: Path) -> None:
    """Its inputs include weights of four bits, but the product of activations inside reads none."""
    region = layer("a", "w.dq", "first", "turn", "scores", inputs=("fp16", "int4"))
    proof = proof_of(file, (region, *REST[1:]))
    assert proof.macs[UNREPORTED] == pytest.approx((MACS["first"] + MACS["scores"]) / WHOLE)
    assert (proof.share, proof.passed) == (0.0, None)


@pytest.mark.parametrize(("weights", "kind"), [(["Row major linear Int4"], "int4"), ([], UNREPORTED)])
def test_what_tensorrts_inspector_tells(weights: list[str], kind: str, file: Path) -> None:
    """Whether it lists weights among the inputs is not known without a GPU: where it does not, nothing is claimed."""
    entries = [
        {
            "Name": f"{node}_gemm",
            "LayerType": "gemm",
            "Inputs": [{"Name": "t", "Format/Datatype": word} for word in ("Row major linear FP16", *more)],
            "Outputs": [{"Name": "u", "Format/Datatype": "Row major linear FP16"}],
            "Metadata": f"[ONNX Layer: {node}]",
        }
        for node, more in (("first", weights), ("scores", []), ("mix", []), ("last", []))
    ]
    proof = proof_of(file, layers_from_inspection(json.dumps({"Layers": entries})))
    assert proof.macs[kind] == pytest.approx(MACS["first"] / WHOLE)
    assert proof.macs["fp16"] == pytest.approx(1 - MACS["first"] / WHOLE)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_what_runtimes_tell(backend: str, file: Path) -> None:
    if not BACKENDS.get(backend).probe().usable:
        pytest.skip(f"{backend} is not installed")
    request = OpenRequest(
        precision=Precision.INT4,
        threads=1,
        inputs=(TensorSpec(name="x", dtype="float32", shape=(8, 64)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=(8, 16)),),
        onnx_path=file,
        inspect=True,
    )
    feed = {"x": np.random.default_rng(2).standard_normal((8, 64)).astype(np.float32)}

    def outputs(request: OpenRequest, name: str) -> tuple[np.ndarray, tuple[ExecutedLayer, ...], dict[str, int]]:
        session = BACKENDS.get(name).open(request)
        session.upload(0, feed)
        session.enqueue(0)
        session.synchronize()
        made = session.download(0)["y"]
        assert isinstance(session, LayerReporting)
        layers, executed = session.reported_layers(), session.evidence().executed
        session.close()
        assert executed is not None
        return made, layers, dict(executed)

    made, layers, executed = outputs(request, backend)
    wanted, _, _ = outputs(replace(request, unoptimised=True), "onnxruntime")
    assert np.linalg.norm(made - wanted) < 1e-4 * np.linalg.norm(wanted), "the products compute in fp32"
    proof = proof_of(file, layers)
    assert proof.share == pytest.approx(MACS["first"] / WHOLE)
    assert set(proof.macs) == {"int4", "fp32"}
    assert executed == {"fp32": 4}, "what they compute in"
