"""``benchbox bisect``: what it proposes is what export needs."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytestmark = pytest.mark.usefixtures("lenet_exported")


@pytest.fixture
def net(tmp_path: Path) -> str:
    """``up`` overflows in fp16, and ``down [2]`` reads it."""
    rng = np.random.default_rng(5)
    names = {"first": 10.0, "up": 3e4, "down [2]": 1e-3}
    values = ["input", "a", "b", "output"]
    nodes = [
        helper.make_node("MatMul", [values[index], f"{name}.w"], [values[index + 1]], name=name)
        for index, name in enumerate(names)
    ]
    weights = [
        numpy_helper.from_array((rng.normal(0, 0.2, (16, 16)) * scale).astype(np.float32), f"{name}.w")
        for name, scale in names.items()
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 16]) for name in ("input", "output")]
    proto = helper.make_model(
        helper.make_graph(nodes, "net", border[:1], border[1:], weights),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(proto, str(tmp_path / "net.onnx"))
    return "net.onnx"


def test_the_proposed_excludes_pass_where_export_failed(net: str, benchbox: Callable) -> None:
    failed = benchbox("export", net, "--precision", "fp16")
    assert failed.status == 4
    assert "net.onnx overflows in fp16" in failed.err
    assert "benchbox bisect net.onnx --precision fp16" in failed.err
    ran = benchbox("bisect", net, "--precision", "fp16", "--against", "fp32")
    assert ran.status == 0
    assert "beyond tolerance" in ran.out
    assert "excluded: relative L2" in ran.err
    arguments = shlex.split(ran.out.splitlines()[-1])
    assert arguments == ["--exclude", "up", "--exclude", "down [[]2]"]
    passed = benchbox("export", net, "--precision", "fp16", *arguments)
    assert passed.status == 0, passed.err


def test_the_document(net: str, benchbox: Callable) -> None:
    document = benchbox("bisect", net, "--precision", "fp16", "--json").document
    assert document["schema"] == "benchbox.bisect/1"
    assert document["exclude"] == ["up", "down [2]"]
    assert shlex.split(" ".join(document["arguments"])) == ["--exclude", "up", "--exclude", "down [[]2]"]
    assert document["before"]["passed"] is False
    assert document["before"]["rel_l2_error"] is None
    assert document["restored"]["passed"] is True
    assert document["layers"][0]["node"] == "up"
    assert document["layers"][0]["added"] is None


def test_within_tolerance_says_so(benchbox: Callable) -> None:
    ran = benchbox("bisect", "lenet5", "--precision", "bf16", "--top", "3")
    assert ran.status == 0
    assert "within tolerance" in ran.out
    assert ran.out.endswith("nothing needs to be excluded\n")
    assert "layers shown (--top)" in ran.out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("lenet5",), 2, "--precision"),
        (("lenet5", "--precision", "fp32"), 2, "fp32 cannot be bisected"),
        (("lenet5", "--precision", "fp61"), 2, "or 'fp16'?"),
        (("lenet5", "--precision", "fp16", "--against", "bf16"), 2, "compared with fp32 only"),
        (("lenet5", "--precision", "fp16", "--tolerance", "2"), 2, "--tolerance"),
        (("lenet5", "--precision", "fp16", "--tolerance", "much"), 2, "'much'"),
        (("lenet5", "--precision", "fp16", "--top", "0"), 2, "--top"),
        (("lenet5", "--precision", "fp16", "--calibration", "nowhere"), 2, "no calibration data"),
        (("absent.onnx", "--precision", "fp16"), 2, "absent.onnx"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input(arguments: tuple[str, ...], status: int, words: str, benchbox: Callable) -> None:
    ran = benchbox("bisect", *arguments)
    assert ran.status == status, ran.err
    assert words in ran.err
