"""Choices of the builder in the recipe, tactics that builds share, kernels that processes share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler, CompileRequest
from benchbox.backends.tensorrt.builder import recipe_from_request
from benchbox.backends.tensorrt.kernels import KernelCache
from benchbox.backends.tensorrt.options import apply_options
from benchbox.backends.tensorrt.vendor import TENSORRT, Bindings, loaded
from benchbox.cli.flags.builder import BuilderFlags, with_builder, with_builds
from benchbox.errors import ArtifactError, UsageError
from benchbox.export.engines import engine_from_artifact
from benchbox.jobs.cases import Case
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan

NONE = {"builder_level": None, "workspace": None, "aux_streams": None, "tactic_sources": None, "sparsity": False}
ALL = BuilderFlags(
    builder_level=5.0, workspace=2.0 * (1 << 30), aux_streams=0.0, tactic_sources="cudnn,CUBLAS", sparsity=True
)
WORDS = ("aux_streams=0", "builder_level=5", "tactic_sources=CUBLAS+CUDNN", "workspace=2147483648", "sparsity")


def _config(bindings: Bindings) -> Any:
    return bindings.api.IBuilderConfig()


def _built(artifact: OnnxArtifact, root: Path, *options: str) -> Any:
    compiler = BACKENDS.get("tensorrt")
    assert isinstance(compiler, Compiler)
    return engine_from_artifact(artifact, compiler=compiler, precision=Precision.FP32, root=root, options=options)


def test_flags_are_words_of_the_recipe() -> None:
    assert BuilderFlags(**NONE).options == ()
    assert ALL.options == WORDS


def test_every_choice_reaches_the_builder() -> None:
    with simulated():
        bindings = loaded(TENSORRT)
        config = _config(bindings)
        apply_options(bindings, config, ("strongly_typed", *WORDS))
        assert (config.builder_optimization_level, config.max_aux_streams, config.get_tactic_sources()) == (5, 0, 0b101)
        assert config.get_memory_pool_limit(bindings.api.MemoryPoolType.WORKSPACE) == 2 << 30
        assert config.get_flag(bindings.api.BuilderFlag.SPARSE_WEIGHTS)


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        ("workspace=99000000000000", ArtifactError, "does not take workspace"),
        ("tactic_sources=CUDA", UsageError, "tactic source"),
    ],
)
def test_a_choice_that_is_not_taken_is_an_error(word: str, kind: type[Exception], message: str) -> None:
    with simulated():
        bindings = loaded(TENSORRT)
        with pytest.raises(kind, match=message):
            apply_options(bindings, _config(bindings), (word,))


def test_a_version_without_a_choice_says_so() -> None:
    with simulated():
        bindings = loaded(TENSORRT)
        old = Bindings(bindings.vendor, SimpleNamespace(BuilderFlag=SimpleNamespace(), __version__="10.0"))
        with pytest.raises(UsageError, match="has no sparsity"):
            apply_options(old, _config(bindings), ("sparsity",))


def test_choices_are_part_of_the_key_and_of_the_case(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    with simulated():
        plain, thorough = _built(lenet_fp32, backend_root), _built(lenet_fp32, backend_root, "builder_level=5")
    assert plain.engine.key != thorough.engine.key
    assert "builder_level=5" in thorough.engine.recipe.flags
    source = resolve("lenet5", input_shape=None, weights=None)
    case = Case(source=source, backend="tensorrt", precision=Precision.FP32, plan=MeasurementPlan())
    (chosen,) = with_builder([case], BuilderFlags(**{**NONE, "builder_level": 5.0}))
    assert (case.variant, chosen.variant) == ("", "builder_level=5")
    on_cpu = Case(source=source, backend="onnxruntime", precision=Precision.FP32, plan=MeasurementPlan())
    with pytest.raises(UsageError, match="engines of TensorRT"):
        with_builder([on_cpu], BuilderFlags(**{**NONE, "sparsity": True}))


def test_builds_share_their_tactics_by_gpu_and_version(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """They are no part of the key: another build would otherwise make every engine another one."""
    with simulated(target="sm86"):
        built = _built(lenet_fp32, backend_root, "aux_streams=1")
        (shared,) = (backend_root / "engines/tensorrt").glob("tactics-*sm86*.cache")
        assert shared.read_bytes() == b"tactics of sm86"
        assert built.engine.recipe.timing_cache_sha256 is None
        assert _built(lenet_fp32, backend_root, "aux_streams=1").cached
        said: list[str] = []
        shared.write_bytes(b"damaged")
        compiler = BACKENDS.get("tensorrt")
        assert isinstance(compiler, Compiler)
        engine_from_artifact(
            lenet_fp32, compiler=compiler, precision=Precision.TF32, root=backend_root, say=said.append
        )
        assert any("is left out" in line for line in said)
        assert shared.read_bytes() == b"tactics of sm86", "and written anew"


def test_several_builds_choose_for_themselves(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """Each is another engine, and the times that others measured are neither used nor replaced."""
    with simulated(target="sm89", build_luck=0.1):
        for kind in ("builder_level=3", "builder_level=4"):
            _built(lenet_fp32, backend_root, kind)
        (shared,) = (backend_root / "engines/tensorrt").glob("tactics-*sm89*.cache")
        shared.write_bytes(b"of another GPU")
        made = [_built(lenet_fp32, backend_root, f"build={number}").engine for number in (1, 2, 3)]
        assert shared.read_bytes() == b"of another GPU"
        assert len({engine.sha256 for engine in made}) == len({engine.key for engine in made}) == 3
        assert _built(lenet_fp32, backend_root, "build=2").engine == made[1]


def test_builds_are_cases_of_engines_that_are_built_here(tmp_path: Path) -> None:
    source = resolve("lenet5", input_shape=None, weights=None)
    case = Case(source=source, backend="tensorrt", precision=Precision.FP32, plan=MeasurementPlan())
    (chosen,) = with_builder([case], BuilderFlags(**{**NONE, "builder_level": 5.0}))
    assert with_builds([case], None, paired=True) == (case,)
    found = with_builds([case, chosen], 2, paired=False)
    assert [one.variant for one in found] == [
        "build=1", "build=2", "builder_level=5 build=1", "builder_level=5 build=2"
    ]  # fmt: skip
    with pytest.raises(UsageError, match="--builds goes without --ab"):
        with_builds([case], 2, paired=True)
    with pytest.raises(UsageError, match="engines of TensorRT"):
        with_builds([replace(case, backend="onnxruntime")], 2, paired=False)
    (tmp_path / "net.plan").write_bytes(b"")
    engine = resolve(str(tmp_path / "net.plan"), input_shape=None, weights=None, engines=True)
    with pytest.raises(UsageError, match="built already"):
        with_builds([replace(case, source=engine)], 2, paired=False)


def test_a_vendor_that_tunes_nothing_has_no_builds(lenet_fp32: OnnxArtifact, rtx: Bindings) -> None:
    request = CompileRequest(
        onnx_path=Path("x.onnx"),
        onnx_sha256="ab",
        weights_sha256=None,
        precision=Precision.FP32,
        profiles=(),
        options=("build=2",),
    )
    with pytest.raises(UsageError, match="makes the same engine in every build"):
        recipe_from_request(rtx, request)


class _Cache:
    """A runtime's cache of kernels, which takes those of its own GPU alone."""

    def __init__(self) -> None:
        self.content = b""

    def deserialize(self, blob: bytes) -> bool:
        if not blob.startswith(b"this GPU"):
            return False
        self.content = blob
        return True

    def serialize(self) -> bytes:
        return self.content or b"this GPU's kernels"


def _jit_vendor() -> tuple[Bindings, Any]:
    strategies = SimpleNamespace(LAZY="lazy", EAGER="eager")
    api = SimpleNamespace(DynamicShapesKernelSpecializationStrategy=strategies, __version__="1.7")
    config = SimpleNamespace(dynamic_shapes_kernel_specialization_strategy="lazy", create_runtime_cache=_Cache)
    config.set_runtime_cache = lambda cache: setattr(config, "cache", cache)
    return Bindings(TENSORRT, api), config


def test_kernels_are_compiled_at_once_and_once_for_all_processes(tmp_path: Path) -> None:
    engine = tmp_path / "net-fp32-0123.engine"
    bindings, config = _jit_vendor()
    first = KernelCache(bindings, engine, target="sm89")
    first.configure(config)
    first.keep()
    assert config.dynamic_shapes_kernel_specialization_strategy == "eager"
    assert first.state == {"kernel_specialization": "eager", "kernel_cache": "compiled anew"}
    (file,) = tmp_path.iterdir()
    second = KernelCache(bindings, engine, target="sm89")
    second.configure(config)
    assert config.cache.content == b"this GPU's kernels"
    assert len(second.state["kernel_cache"]) == 12, "a digest: the same in every process"
    file.write_bytes(b"another GPU")
    third = KernelCache(bindings, engine, target="sm89")
    third.configure(config)
    assert third.state["kernel_cache"] == "refused, compiled anew"
    third.keep()
    assert file.read_bytes() == b"this GPU's kernels"


def test_a_vendor_that_compiles_nothing_keeps_nothing(tmp_path: Path) -> None:
    bindings, _ = _jit_vendor()
    cache = KernelCache(bindings, tmp_path / "net.engine", target="sm90")
    cache.configure(SimpleNamespace())
    cache.keep()
    assert cache.state == {}
    assert list(tmp_path.iterdir()) == []


def test_the_real_vendor_has_what_is_used_of_it(rtx: Bindings) -> None:
    for name in ("create_runtime_cache", "set_runtime_cache", "dynamic_shapes_kernel_specialization_strategy"):
        assert hasattr(rtx.api.IRuntimeConfig, name)
    assert hasattr(rtx.api.DynamicShapesKernelSpecializationStrategy, "EAGER")
    assert hasattr(rtx.api.IRuntimeCache, "deserialize")
    assert hasattr(rtx.api.IRuntimeCache, "serialize")
    config = rtx.api.IBuilderConfig
    for name in ("builder_optimization_level", "set_memory_pool_limit", "max_aux_streams", "set_tactic_sources"):
        assert hasattr(config, name)
