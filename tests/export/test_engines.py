"""From a checked file to an engine that is built once, by a compiler that counts how often it is asked."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from benchbox.backends.base import Availability, CompiledEngine, Compiler, CompileRequest, OpenRequest, Session
from benchbox.errors import ArtifactError, EnvironmentLackError, UsageError
from benchbox.export import engines
from benchbox.export.engines import (
    Built,
    builder_named,
    compilers,
    engine_from_artifact,
    profiles_from_inputs,
    settled_batch,
)
from benchbox.schema.artifact import BatchRange, OnnxArtifact, TensorSpec
from benchbox.schema.engine import EngineMemory, EngineRecipe
from benchbox.schema.model import Precision


class Counting:
    """A compiler whose engine is made of its recipe; it counts builds and believes what it is told about faults."""

    name = "tensorrt"
    device = "cuda"
    consumes = "onnx"
    virtual = False
    rank = -1

    def __init__(self, version: str = "1.0") -> None:
        self.version = version
        self.builds = 0
        self.refuses = ""
        self.error: BaseException | None = None

    def probe(self) -> Availability:
        return Availability(usable=False, builds=True, version=self.version)

    def refusal(self, precision: Precision) -> str | None:
        return None

    def open(self, request: OpenRequest) -> Session:
        raise EnvironmentLackError("never")

    def recipe(self, request: CompileRequest) -> EngineRecipe:
        return EngineRecipe(
            onnx_sha256=request.onnx_sha256,
            weights_sha256=request.weights_sha256,
            backend=self.name,
            backend_version=self.version,
            targets=request.targets,
            device="",
            profiles=request.profiles,
            flags=(request.precision.value,),
            timing_cache_sha256=None if request.timing_cache is None else request.timing_cache.hex(),
        )

    def compile(self, request: CompileRequest, recipe: EngineRecipe) -> CompiledEngine:
        self.builds += 1
        if self.error:
            raise self.error
        return CompiledEngine(
            engine=f"{self.builds} {recipe}".encode(),
            log="INFO built\n",
            build_s=0.1,
            layers=3,
            memory=EngineMemory(),
            warnings=(),
            timing_cache=b"tactics",
        )

    def fault(self, engine: bytes) -> str | None:
        return self.refuses or None


@pytest.fixture
def compiler() -> Counting:
    made = Counting()
    assert isinstance(made, Compiler)
    return made


@pytest.fixture
def build(lenet: OnnxArtifact, export_root: Path, tmp_path: Path, compiler: Counting):  # type: ignore[no-untyped-def]
    """Builds lenet5 under a fresh root."""
    target = tmp_path / lenet.path
    target.parent.mkdir(parents=True)
    target.write_bytes((export_root / lenet.path).read_bytes())

    def made(**changes: object) -> Built:
        options = {"compiler": compiler, "precision": Precision.FP32, **changes}
        return engine_from_artifact(lenet, root=tmp_path, **options)  # type: ignore[arg-type]

    return made


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "engines").rglob("*") if path.is_file() and path.suffix != ".onnx")


def test_an_engine_is_built_once(build, compiler: Counting, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    first, second = build(), build()
    assert (first.cached, second.cached) == (False, True)
    assert first.engine == second.engine
    assert compiler.builds == 1
    stem = Path(first.engine.path).stem
    assert files(tmp_path) == [f"{stem}{end}" for end in (".engine", ".json", ".log", ".timing")]
    assert (tmp_path / first.engine.log_path).read_text() == "INFO built\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": Precision.TF32},
        {"batch": BatchRange(minimum=1, optimum=2, maximum=4)},
        {"targets": ("sm86",)},
        {"compiler": Counting("1.1")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_an_engine_makes_another(changes: dict[str, object], build) -> None:  # type: ignore[no-untyped-def]
    first, other = build(), build(**changes)
    assert not other.cached
    assert first.engine.key != other.engine.key
    assert build().cached
    assert build(**changes).cached


def test_a_timing_cache_is_read_and_decides(build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    first = build()
    tuned = build(timing_cache=tmp_path / first.engine.timing_cache_path)
    assert tuned.engine.recipe.timing_cache_sha256 == b"tactics".hex()
    assert not tuned.cached
    with pytest.raises(UsageError, match="absent"):
        build(timing_cache=tmp_path / "absent")


@pytest.mark.parametrize("damage", ["truncated", "missing", "card", "refused"])
def test_damage_is_told_and_built_again(
    damage: str,
    build,  # type: ignore[no-untyped-def]
    compiler: Counting,
    tmp_path: Path,
) -> None:
    first = build().engine
    path = tmp_path / first.path
    said: list[str] = []
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "missing":
        path.unlink()
    elif damage == "card":
        path.with_suffix(".json").write_text("{")
    else:
        compiler.refuses = "it was built by another version"
    again = build(say=said.append)
    assert not again.cached
    assert compiler.builds == 2
    assert any(line.startswith(f"the engine {path.stem} is built again: it") for line in said)
    compiler.refuses = ""
    assert build().engine == again.engine


@pytest.mark.parametrize("error", [ArtifactError("refused"), KeyboardInterrupt(), MemoryError()])
def test_a_failed_build_leaves_nothing(
    error: BaseException,
    build,  # type: ignore[no-untyped-def]
    compiler: Counting,
    tmp_path: Path,
) -> None:
    compiler.error = error
    with pytest.raises(type(error)):
        build()
    assert files(tmp_path) == []
    compiler.error = None
    assert not build().cached


def test_an_empty_engine_is_none(build, compiler: Counting, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    real = compiler.compile
    compiler.compile = lambda request, recipe: dataclasses.replace(real(request, recipe), engine=b"")  # type: ignore[method-assign]
    with pytest.raises(ArtifactError, match="empty engine"):
        build()
    assert files(tmp_path) == []


def test_threads_that_want_the_same_engine_build_it_once(build, compiler: Counting) -> None:  # type: ignore[no-untyped-def]
    built: list[Built] = []
    gate = threading.Barrier(4)

    def work() -> None:
        gate.wait()
        built.append(build())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compiler.builds == 1
    assert sorted(entry.cached for entry in built) == [False, True, True, True]
    assert len({entry.engine.sha256 for entry in built}) == 1


def test_processes_that_want_the_same_engine_build_it_once(tmp_path: Path, exports: Any) -> None:
    """The real builder, started at the same moment by processes that know nothing of each other."""
    network = tmp_path / "net.onnx"  # a file: no process imports PyTorch for it
    shutil.copyfile(exports.root / exports.artifact("lenet5").path, network)
    arguments = ["--root", str(tmp_path), "build", str(network), "--backend", "tensorrt-rtx", "--json"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchbox", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    engines_made = [json.loads(out)["engines"][0] for out, _ in answers]
    assert sorted(engine["cached"] for engine in engines_made) == [False, True, True]
    assert len({engine["sha256"] for engine in engines_made}) == 1
    assert sum("building the engine" in err for _, err in answers) == 1


def test_builders_are_found_by_name() -> None:
    assert list(compilers()) == ["tensorrt", "tensorrt-rtx"]
    assert list(compilers("tensorrt-rtx")) == ["tensorrt-rtx"]
    with pytest.raises(UsageError, match="onnxruntime makes no engines"):
        compilers("onnxruntime")
    with pytest.raises(UsageError, match="did you mean 'tensorrt'"):
        compilers("tensort")


def test_the_first_that_builds_here_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Counting("1"), Counting("2")
    monkeypatch.setattr(engines, "compilers", lambda name: {"one": one, "two": two})
    assert builder_named(None) is one
    lack = Availability(usable=False, reason="not installed", remedy="pip install it")
    monkeypatch.setattr(one, "probe", lambda: lack)
    assert builder_named(None) is two
    monkeypatch.setattr(two, "probe", lambda: lack)
    with pytest.raises(EnvironmentLackError, match=r"no backend can build .*\n.*not installed"):
        builder_named(None)
    with pytest.raises(EnvironmentLackError, match="one cannot build"):
        builder_named("one")


def test_batches_are_settled(lenet: OnnxArtifact) -> None:
    wide = BatchRange(minimum=1, optimum=2, maximum=4)
    assert settled_batch(lenet, wide) == wide
    assert settled_batch(lenet, None) == BatchRange(minimum=1, optimum=1, maximum=1)
    with pytest.raises(UsageError, match="maximum batch size"):
        settled_batch(lenet, BatchRange())
    fixed = dataclasses.replace(lenet, inputs=(dataclasses.replace(lenet.inputs[0], shape=(3, 1, 28, 28)),))
    exact = BatchRange(minimum=3, optimum=3, maximum=3)
    assert settled_batch(fixed, None) == settled_batch(fixed, exact) == exact
    with pytest.raises(UsageError, match=r"made for 3, got 1:2:4\n.*--batch 3"):
        settled_batch(fixed, wide)


def test_profiles_have_the_batch_first_and_keep_fixed_inputs() -> None:
    inputs = (
        TensorSpec(name="image", dtype="float32", shape=(None, 3, 8, 8)),
        TensorSpec(name="scale", dtype="float32", shape=(1, 3)),
    )
    image, scale = profiles_from_inputs(inputs, BatchRange(minimum=1, optimum=2, maximum=4))
    assert (image.minimum, image.optimum, image.maximum) == ((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))
    assert scale.minimum == scale.optimum == scale.maximum == (1, 3)
