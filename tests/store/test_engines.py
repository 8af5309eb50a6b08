"""Engines on disk: found by what decides them, whole or not at all, made by one process, deleted when of no use."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import StoreError
from benchbox.schema.artifact import BatchRange
from benchbox.schema.engine import EngineArtifact, EngineMemory, EngineRecipe, ShapeProfile
from benchbox.schema.model import Precision
from benchbox.store.atomic import draft_of, drafts_of, locked
from benchbox.store.engines import (
    engine_stem,
    faults_of,
    kept_engine,
    kept_engines,
    key_of,
    prune_engines,
    sole_builder,
    write_card,
    write_engine,
)
from benchbox.store.external import external_sha256

BACKENDS = ("tensorrt", "tensorrt-rtx")
SHAPE = (1, 3, 8, 8)
ENGINE = b"engine" * 1000
ONNX = b"a network"
RECIPE = EngineRecipe(
    onnx_sha256=hashlib.sha256(ONNX).hexdigest(),
    weights_sha256=None,
    backend="tensorrt-rtx",
    backend_version="1.7.1",
    targets=("sm86",),
    device="",
    profiles=(ShapeProfile(input="x", minimum=SHAPE, optimum=SHAPE, maximum=SHAPE),),
    flags=("strongly_typed",),
    timing_cache_sha256=None,
)


def kept(root: Path, *, recipe: EngineRecipe = RECIPE, model: str = "net.v1", engine: bytes = ENGINE) -> Path:
    """Writes an engine and its ONNX file; returns its stem."""
    key = key_of(recipe)
    stem = engine_stem(root, backend=recipe.backend, model=model, precision="fp32", key=key)
    place = stem.relative_to(root)
    onnx = root / "engines" / "onnx" / "net.onnx"
    onnx.parent.mkdir(parents=True, exist_ok=True)
    onnx.write_bytes(ONNX)
    artifact = EngineArtifact(
        key=key,
        model=model,
        source=model,
        weights=None,
        precision=Precision.FP32,
        batch=BatchRange(minimum=1, optimum=1, maximum=1),
        recipe=recipe,
        onnx_path="engines/onnx/net.onnx",
        path=f"{place}.engine",
        sha256=hashlib.sha256(engine).hexdigest(),
        size_bytes=len(engine),
        log_path=f"{place}.log",
        timing_cache_path=f"{place}.timing",
        build_s=0.25,
        layers=3,
        memory=EngineMemory(activation_bytes=10),
        warnings=("slow",),
        built_at="2026-11-23T20:00:00+00:00",
    )
    sha256 = write_engine(stem, engine=memoryview(engine), log="INFO built\n", timing_cache=b"tactics")
    assert sha256 == artifact.sha256
    assert kept_engine(stem, root) is None  # no engine before its card
    write_card(artifact, root)
    return stem


def names(root: Path) -> set[str]:
    return {path.name for path in (root / "engines").rglob("*") if path.is_file()}


def suffixed(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    stem = kept(tmp_path)
    assert stem.name == f"net.v1-fp32-{key_of(RECIPE)[:16]}"
    found = kept_engine(stem, tmp_path)
    assert found is not None
    assert found.fault == ""
    assert found.artifact is not None
    assert found.artifact.recipe == RECIPE
    assert (tmp_path / found.artifact.path).read_bytes() == ENGINE
    assert suffixed(stem, ".timing").read_bytes() == b"tactics"
    assert json.loads(suffixed(stem, ".json").read_text())["schema"] == "benchbox.engine/1"
    assert [entry.artifact for entry in kept_engines(tmp_path, backends=BACKENDS)] == [found.artifact]


@pytest.mark.parametrize(
    "changes",
    [
        {"onnx_sha256": "0"},
        {"weights_sha256": "0"},
        {"backend": "tensorrt"},
        {"backend_version": "1.7.2"},
        {"targets": ("sm86", "sm89")},
        {"device": "NVIDIA L4 (sm89)"},
        {"profiles": ()},
        {"flags": ("strongly_typed", "tf32")},
        {"timing_cache_sha256": "0"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_everything_in_the_recipe_is_in_the_key(changes: dict[str, object]) -> None:
    assert {field.name for field in dataclasses.fields(EngineRecipe)} >= set(changes)
    assert key_of(dataclasses.replace(RECIPE, **changes)) != key_of(RECIPE)  # type: ignore[arg-type]
    assert key_of(dataclasses.replace(RECIPE)) == key_of(RECIPE)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("truncated", "5999 bytes, 6000 were written"),
        ("changed", "sha256 differs"),
        ("missing", "missing"),
        ("card", "artifact is damaged"),
        ("fields", "artifact is damaged"),
        ("recipe", "key does not belong"),
    ],
)
def test_damage_is_seen_and_pruned(damage: str, words: str, tmp_path: Path) -> None:
    stem = kept(tmp_path)
    engine, card = suffixed(stem, ".engine"), suffixed(stem, ".json")
    document = json.loads(card.read_text())
    if damage == "truncated":
        engine.write_bytes(ENGINE[:-1])
    elif damage == "changed":
        engine.write_bytes(b"E" + ENGINE[1:])
    elif damage == "missing":
        engine.unlink()
    elif damage == "card":
        card.write_text("{")
    elif damage == "fields":
        card.write_text(json.dumps({**document, "build_s": "long"}))
    else:
        document["recipe"]["flags"] = ["strongly_typed", "tf32"]
        card.write_text(json.dumps(document))
    found = kept_engine(stem, tmp_path)
    assert found is not None
    assert words in found.fault
    removed = prune_engines(tmp_path, backends=BACKENDS, versions={})
    assert all(words in entry.reason for entry in removed)
    assert names(tmp_path) == {"net.onnx"}


def test_another_version_and_a_lost_network_are_of_no_use(tmp_path: Path) -> None:
    stem = kept(tmp_path)
    found = kept_engine(stem, tmp_path)
    assert found is not None
    assert faults_of(found, tmp_path, versions={"tensorrt-rtx": "1.7.1"}) == ""
    assert faults_of(found, tmp_path, versions={}) == ""
    assert "installed is 1.8.0" in faults_of(found, tmp_path, versions={"tensorrt-rtx": "1.8.0"})
    (tmp_path / "engines/onnx/net.onnx").write_bytes(b"another network")
    assert "gone or has changed" in faults_of(found, tmp_path, versions={})


def test_other_weights_beside_the_network_make_an_engine_of_no_use(tmp_path: Path) -> None:
    """Weights in a file of their own: the network's own bytes stay the same."""
    stem = kept(tmp_path)
    network = tmp_path / "engines/onnx/net.onnx"
    weights = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weights],
    )
    onnx.save(helper.make_model(graph), str(network), save_as_external_data=True, location="net.data", size_threshold=0)
    recipe = dataclasses.replace(
        RECIPE, onnx_sha256=hashlib.sha256(network.read_bytes()).hexdigest(), weights_sha256=external_sha256(network)
    )
    found = kept_engine(stem, tmp_path)
    assert found is not None
    assert found.artifact is not None
    built = dataclasses.replace(found, artifact=dataclasses.replace(found.artifact, recipe=recipe))
    assert faults_of(built, tmp_path, versions={}) == ""
    data = network.with_name("net.data")
    data.write_bytes(data.read_bytes()[::-1])
    assert faults_of(built, tmp_path, versions={}).startswith("it was built from other weights: the external data")
    data.unlink()
    assert "it was built from other weights" in faults_of(built, tmp_path, versions={})


def test_prune_keeps_what_is_of_use(tmp_path: Path) -> None:
    good = kept(tmp_path)
    old = kept(tmp_path, recipe=dataclasses.replace(RECIPE, backend_version="1.6.0"))
    other = kept(tmp_path, recipe=dataclasses.replace(RECIPE, backend="tensorrt", backend_version="11.4.0"))
    before = names(tmp_path)
    removed = prune_engines(tmp_path, backends=BACKENDS, versions={"tensorrt-rtx": "1.7.1"})
    assert {entry.path.name for entry in removed} == {old.name + end for end in (".engine", ".json", ".log", ".timing")}
    assert sum(entry.size_bytes for entry in removed) > len(ENGINE)
    assert names(tmp_path) == before - {entry.path.name for entry in removed}
    assert kept_engine(good, tmp_path) is not None
    assert kept_engine(other, tmp_path) is not None


def test_kernels_go_with_their_engine_and_tactics_with_their_version(tmp_path: Path) -> None:
    """What a runtime compiled for an engine is of no use without it; a draft of it is of none at all."""
    good = kept(tmp_path)
    old = kept(tmp_path, recipe=dataclasses.replace(RECIPE, backend_version="1.6.0"))
    for stem in (good, old):
        for end in (".sm86.1.7.1.kernels", ".sm89.1.7.1.kernels", ".sm89.1.7.1.kernels.4711"):
            stem.with_name(stem.name + end).write_bytes(b"kernels")
    for version in ("1.6.0", "1.7.1"):
        (good.parent / f"tactics-A-GPU-sm86-{version}.cache").write_bytes(b"tactics")
    removed = {
        entry.path.name for entry in prune_engines(tmp_path, backends=BACKENDS, versions={"tensorrt-rtx": "1.7.1"})
    }
    assert {name for name in removed if name.startswith(old.name)} == {
        old.name + end
        for end in (
            *(".engine", ".json", ".log", ".timing", ".sm86.1.7.1.kernels", ".sm89.1.7.1.kernels"),
            ".sm89.1.7.1.kernels.4711",
        )
    }
    assert {name for name in removed if name.startswith(good.name)} == {f"{good.name}.sm89.1.7.1.kernels.4711"}
    assert "tactics-A-GPU-sm86-1.6.0.cache" in removed
    assert {"tactics-A-GPU-sm86-1.7.1.cache", f"{good.name}.sm86.1.7.1.kernels"} <= names(tmp_path)
    assert prune_engines(tmp_path, backends=BACKENDS, versions={}) == (), "whose version is not known is left alone"


def test_prune_leaves_foreign_files_alone(tmp_path: Path) -> None:
    stem = kept(tmp_path)
    note = stem.with_name("notes.txt")
    note.write_text("mine")
    prune_engines(tmp_path, backends=BACKENDS, versions={"tensorrt-rtx": "2.0"})
    assert names(tmp_path) == {"net.onnx", "notes.txt"}


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "tensorrt-rtx").write_text("in the way")
    with (
        pytest.raises(StoreError, match="tensorrt-rtx"),
        sole_builder(tmp_path / "engines/tensorrt-rtx/net", waiting=None),
    ):
        pass


FILLS_THE_DISK = """
import resource, sys
from pathlib import Path
from benchbox.errors import StoreError
from benchbox.store.engines import sole_builder, write_engine
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))  # as on a full disk: write() fails in the middle of the file
stem = Path(sys.argv[1])
try:
    with sole_builder(stem, waiting=None):
        write_engine(stem, engine=bytes(1_000_000), log="built", timing_cache=None)
except StoreError as error:
    print(error)
"""


def test_a_disk_that_fills_leaves_no_half_engine(tmp_path: Path) -> None:
    stem = engine_stem(tmp_path, backend="tensorrt-rtx", model="net", precision="fp32", key=key_of(RECIPE))
    told = subprocess.run([sys.executable, "-c", FILLS_THE_DISK, str(stem)], capture_output=True, text=True, check=True)
    assert "the engine cannot be written" in told.stdout
    assert kept_engine(stem, tmp_path) is None
    prune_engines(tmp_path, backends=BACKENDS, versions={})
    assert names(tmp_path) == set()


HOLDER = """
import sys, time
from pathlib import Path
from benchbox.store.atomic import draft_of
from benchbox.store.engines import sole_builder
stem = Path(sys.argv[1])
with sole_builder(stem, waiting=None):
    if sys.argv[2] == "writing":
        draft = draft_of(stem.with_name(stem.name + ".engine"))
        path = draft.__enter__()
        path.write_bytes(b"half of an engine")
    if sys.argv[2] == "between":
        stem.with_name(stem.name + ".log").write_text("log")
        stem.with_name(stem.name + ".engine").write_bytes(b"engine without its card")
    print("ready", flush=True)
    time.sleep(60)
"""


def holder(stem: Path, doing: str) -> subprocess.Popen[str]:
    """A process that builds and does not end; it holds the lock when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(stem), doing], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("doing", ["compiling", "writing", "between"])
def test_a_killed_build_leaves_no_engine_and_no_lock(doing: str, tmp_path: Path) -> None:
    stem = engine_stem(tmp_path, backend="tensorrt-rtx", model="net", precision="fp32", key=key_of(RECIPE))
    process = holder(stem, doing)
    assert prune_engines(tmp_path, backends=BACKENDS, versions={}) == ()  # while it runs, nothing is taken from it
    process.kill()
    process.wait()
    assert kept_engine(stem, tmp_path) is None
    removed = prune_engines(tmp_path, backends=BACKENDS, versions={})
    assert len(removed) == {"compiling": 0, "writing": 1, "between": 2}[doing]
    assert names(tmp_path) == set()


def test_the_next_builder_sweeps_up(tmp_path: Path) -> None:
    stem = engine_stem(tmp_path, backend="tensorrt-rtx", model="net", precision="fp32", key=key_of(RECIPE))
    process = holder(stem, "writing")
    waited: list[str] = []
    process.kill()
    process.wait()
    with sole_builder(stem, waiting=lambda: waited.append("waited")) as swept:
        assert swept is not None
        assert len(swept) == 1
        assert names(tmp_path) == {f".{stem.name}.lock"}
    assert waited == []
    assert names(tmp_path) == set()


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    """A second process takes the lock over the moment the first dies, and says meanwhile that it waits."""
    stem = engine_stem(tmp_path, backend="tensorrt-rtx", model="net", precision="fp32", key=key_of(RECIPE))
    process = holder(stem, "compiling")
    with sole_builder(stem, waiting=None) as swept:
        assert swept is None
    waited: list[float] = []

    def waiting() -> None:
        waited.append(time.monotonic())
        process.kill()

    with sole_builder(stem, waiting=waiting) as swept:
        assert swept == ()
    process.wait()
    assert len(waited) == 1


def test_a_lock_file_that_was_removed_guards_nothing(tmp_path: Path) -> None:
    """Whoever waited on the removed file must notice and take the new one."""
    lock = tmp_path / "folder" / ".net.lock"
    with locked(lock, waiting=None) as first:
        assert first
        lock.unlink()
        with locked(lock, waiting=None) as second:
            assert second
    assert not lock.exists()


def test_drafts_are_told_from_locks_and_files(tmp_path: Path) -> None:
    target = tmp_path / "net.engine"
    (tmp_path / ".net.engine.lock").touch()
    (tmp_path / "net.engine.log").touch()
    with draft_of(target) as draft:
        draft.write_bytes(b"half")
        assert drafts_of(target) == (draft,)
    assert drafts_of(target) == ()
