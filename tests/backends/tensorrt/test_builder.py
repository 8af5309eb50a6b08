"""Real engines, built without a GPU."""

from __future__ import annotations

import dataclasses
import functools
import struct
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from benchbox.backends.base import CompiledEngine, CompileRequest
from benchbox.backends.cuda.driver import Gpu
from benchbox.backends.tensorrt import builder
from benchbox.backends.tensorrt.builder import engine_from_onnx, recipe_from_request
from benchbox.backends.tensorrt.validity import require_loadable, verdict_on
from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.errors import ArtifactError, EnvironmentLackError, UsageError
from benchbox.export.engines import profiles_from_inputs
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.engine import ShapeProfile
from benchbox.schema.model import Precision

Networks = dict[tuple[str, Precision], OnnxArtifact]
RANGE = BatchRange(minimum=1, optimum=4, maximum=8)
# Observed in plans of TensorRT-RTX 1.7: eight bytes at offset 32 are a mask of the targets.
MASK_OFFSET = 32
MASK = {"sm86": 0x04, "sm89": 0x08}


def request(networks: Networks, root: Path, name: str, precision: Precision, **changes: object) -> CompileRequest:
    artifact = networks[name, Precision.FP16 if precision is Precision.FP16 else Precision.FP32]
    asked = CompileRequest(
        onnx_path=root / artifact.path,
        onnx_sha256=artifact.sha256,
        weights_sha256=None,
        precision=precision,
        profiles=profiles_from_inputs(artifact.inputs, RANGE),
    )
    return dataclasses.replace(asked, **changes)  # type: ignore[arg-type]


def compiled(bindings: Bindings, asked: CompileRequest) -> CompiledEngine:
    recipe = recipe_from_request(bindings, asked)
    return engine_from_onnx(bindings, asked.onnx_path, recipe, timing_cache=asked.timing_cache)


@pytest.fixture(scope="session")
def build(rtx: Bindings, networks: Networks, root: Path) -> functools._lru_cache_wrapper[CompiledEngine]:
    """Builds a network in a precision once."""
    return functools.cache(lambda name, precision: compiled(rtx, request(networks, root, name, precision)))


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.TF32, Precision.FP16])
@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_engines_are_built(
    name: str, precision: Precision, build: functools._lru_cache_wrapper[CompiledEngine], networks: Networks
) -> None:
    made = build(name, precision)
    artifact = networks[name, Precision.FP16 if precision is Precision.FP16 else Precision.FP32]
    weights = artifact.size_bytes
    assert 0.9 * weights < len(made.engine) < 1.5 * weights
    assert made.memory.weight_bytes is not None
    assert 0.9 * weights < made.memory.weight_bytes < 1.1 * weights
    assert made.memory.activation_bytes
    assert made.layers >= 10
    assert made.build_s > 0
    assert "Parsing node: " in made.log
    assert made.timing_cache is None


def test_tf32_is_cleared_for_fp32_and_set_for_tf32(build: functools._lru_cache_wrapper[CompiledEngine]) -> None:
    """Observed in plans of TensorRT-RTX 1.7: they hold the switches of their kernels' compiler as text."""
    plain, allowed = (bytes(build("resnet18", precision).engine) for precision in (Precision.FP32, Precision.TF32))
    assert b" tf32=0\n" in plain
    assert b" tf32=1\n" not in plain
    assert b" tf32=1\n" in allowed
    assert b" tf32=0\n" not in allowed


def test_the_flag_is_read_back_from_the_configuration(rtx: Bindings, networks: Networks, root: Path) -> None:
    for precision in (Precision.FP32, Precision.TF32, Precision.FP16):
        recipe = recipe_from_request(rtx, request(networks, root, "lenet5", precision, profiles=()))
        log, lines = builder.journal(rtx.api)
        maker = rtx.api.Builder(log)
        network = maker.create_network(1 << int(rtx.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        config = maker.create_builder_config()
        builder._configure(rtx, maker, network, config, recipe, lines)
        assert config.get_flag(rtx.api.BuilderFlag.TF32) is (precision is Precision.TF32)
        assert ("tf32" in recipe.flags) is (precision is Precision.TF32)


def test_fp16_halves_weights_and_activations(build: functools._lru_cache_wrapper[CompiledEngine]) -> None:
    whole, half = (build("resnet18", precision) for precision in (Precision.FP32, Precision.FP16))
    assert len(half.engine) < 0.6 * len(whole.engine)
    assert (half.memory.activation_bytes or 0) < 0.7 * (whole.memory.activation_bytes or 0)


def test_profiles_bound_the_memory(rtx: Bindings, networks: Networks, root: Path) -> None:
    artifact = networks["lenet5", Precision.FP32]
    sizes = []
    for largest in (1, 8, 64):
        batch = BatchRange(minimum=1, optimum=1, maximum=largest)
        asked = request(networks, root, "lenet5", Precision.FP32, profiles=profiles_from_inputs(artifact.inputs, batch))
        sizes.append(compiled(rtx, asked).memory.activation_bytes or 0)
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("targets", [("sm86",), ("sm89", "sm86")])
def test_targets_are_in_the_engine(targets: tuple[str, ...], rtx: Bindings, networks: Networks, root: Path) -> None:
    asked = request(networks, root, "lenet5", Precision.FP32, targets=targets)
    assert recipe_from_request(rtx, asked).targets == tuple(sorted(targets))
    (mask,) = struct.unpack_from("<Q", compiled(rtx, asked).engine, MASK_OFFSET)
    assert mask == sum(MASK[target] for target in targets)


def test_an_unknown_target_is_answered_with_the_nearest(rtx: Bindings, networks: Networks, root: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'sm89' or"):
        recipe_from_request(rtx, request(networks, root, "lenet5", Precision.FP32, targets=("sm87",)))


def test_the_builder_names_node_and_operator(rtx: Bindings, networks: Networks, root: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot build an engine from lenet5.*\n.*'fc1' \(Gemm\) for Turing"):
        compiled(rtx, request(networks, root, "lenet5", Precision.FP32, targets=("sm75",)))


def foreign(path: Path, *nodes: onnx.NodeProto, output: list[int | str]) -> CompileRequest:
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, str(path))
    shape = (1, 3, 3)
    return CompileRequest(
        onnx_path=path,
        onnx_sha256="",
        weights_sha256=None,
        precision=Precision.FP32,
        profiles=(ShapeProfile(input="x", minimum=shape, optimum=shape, maximum=shape),),
    )


def test_the_parser_names_node_and_operator(rtx: Bindings, tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"], name="r"), helper.make_node("Det", ["r"], ["y"], name="volume")]
    asked = foreign(tmp_path / "net.onnx", *nodes, output=["batch"])
    with pytest.raises(ArtifactError, match=r"cannot read net\.onnx\nnode 'volume' \(Det\): UNSUPPORTED_NODE"):
        compiled(rtx, asked)


def test_a_file_that_is_no_network_is_named(rtx: Bindings, tmp_path: Path) -> None:
    asked = foreign(tmp_path / "net.onnx", helper.make_node("Relu", ["x"], ["y"]), output=["batch", 3, 3])
    asked.onnx_path.write_text("no network at all")
    with pytest.raises(ArtifactError, match=r"cannot read net\.onnx"):
        compiled(rtx, asked)


def test_a_profile_that_grows_backwards_is_refused(rtx: Bindings, tmp_path: Path) -> None:
    asked = foreign(tmp_path / "net.onnx", helper.make_node("Relu", ["x"], ["y"]), output=["batch", 3, 3])
    wrong = dataclasses.replace(asked.profiles[0], optimum=(4, 3, 3))
    with pytest.raises(ArtifactError, match=r"refuses the input shapes\n.*MIN<=OPT<=MAX"):
        compiled(rtx, dataclasses.replace(asked, profiles=(wrong,)))


def test_timing_caches_belong_to_builders_that_tune(rtx: Bindings, networks: Networks, root: Path) -> None:
    with pytest.raises(UsageError, match="no timing cache"):
        recipe_from_request(rtx, request(networks, root, "lenet5", Precision.FP32, timing_cache=b"tactics"))


def test_a_tuning_builder_needs_a_gpu(
    tuning: Bindings, networks: Networks, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(networks, root, "lenet5", Precision.FP32)

    def absent() -> Gpu:
        raise EnvironmentLackError("there is no NVIDIA driver")

    monkeypatch.setattr(builder, "gpu_from_driver", absent)
    with pytest.raises(EnvironmentLackError, match="no NVIDIA driver"):
        recipe_from_request(tuning, asked)
    with pytest.raises(UsageError, match="GPU of this machine only"):
        recipe_from_request(tuning, dataclasses.replace(asked, targets=("sm86",)))


def test_a_tuning_builder_keys_by_gpu_and_timing_cache_and_returns_its_own(
    tuning: Bindings, networks: Networks, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of TensorRT 10 and 11, run with the bindings at hand: their features are hidden, not imitated."""
    monkeypatch.setattr(builder, "gpu_from_driver", lambda: Gpu(name="NVIDIA L4", target="sm89"))
    asked = request(networks, root, "lenet5", Precision.FP32)
    recipe = recipe_from_request(tuning, asked)
    assert (recipe.backend, recipe.device, recipe.targets) == ("tensorrt", "NVIDIA L4 (sm89)", ())
    made = compiled(tuning, asked)
    assert made.engine
    assert made.timing_cache
    tuned = dataclasses.replace(asked, timing_cache=made.timing_cache)
    assert recipe.timing_cache_sha256 is None
    assert recipe_from_request(tuning, tuned).timing_cache_sha256 is not None
    assert compiled(tuning, tuned).engine


def test_the_header_is_judged_before_loading(
    rtx: Bindings, tuning: Bindings, build: functools._lru_cache_wrapper[CompiledEngine]
) -> None:
    engine = bytes(build("lenet5", Precision.FP32).engine)
    assert verdict_on(rtx, engine).of_the_file == ()
    assert "header" in verdict_on(rtx, b"no engine" * 100).of_the_file[0]
    assert "header" in verdict_on(rtx, b"").of_the_file[0]
    # The version is four bytes at offset 24: 1.7.1.116 in the version that this was observed with.
    other = engine[:25] + bytes([engine[25] ^ 0x08]) + engine[26:]
    assert verdict_on(rtx, other).of_the_file == ("it was built by another version",)
    with pytest.raises(ArtifactError, match=r"refuses the engine net\nit was built by another version"):
        require_loadable(rtx, other, name="net")
    # A version that cannot be asked refuses nothing: sha256 and version of the artifact are compared instead.
    assert verdict_on(tuning, b"no engine").of_the_file == ()
