"""What the memory pass says of a GPU, from a request to the trial, on the simulated device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler
from benchbox.export.engines import engine_from_artifact
from benchbox.measure.process.trials import TrialRequest
from benchbox.measure.process.worker import trial_from_request
from benchbox.metrics.device_memory import held_name
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Pass, Trial

OVERHEAD = 300 << 20
BUFFERS = (28 * 28 + 10) * 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="module")
def lenet(root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(root, "lenet5")  # type: ignore[no-any-return]


def _trial(lenet: OnnxArtifact, root: Path, *, number: int, trials: int = 4) -> Trial:
    compiler = BACKENDS.get("tensorrt")
    assert isinstance(compiler, Compiler)
    one = BatchRange(minimum=1, optimum=1, maximum=1)
    built = engine_from_artifact(lenet, compiler=compiler, precision=Precision.FP32, root=root, batch=one)
    return trial_from_request(
        TrialRequest(
            number=number,
            pass_=Pass.MEMORY,
            source=resolve("lenet5", input_shape=None, weights=None),
            artifact=lenet,
            engine=built.engine,
            backend="tensorrt",
            precision=Precision.FP32,
            plan=MeasurementPlan(memory_trials=trials),
            root=root,
        )
    )


def test_one_set_of_buffers_is_weighed_beside_what_the_context_takes(lenet: OnnxArtifact, root: Path) -> None:
    """Four slots are for timing: a deployment has one. The context is no part of the network and has its own name."""
    with simulated(primary_bytes=OVERHEAD, accounted_bytes=12345) as simulation:
        found = _trial(lenet, root, number=2).device_bytes
        high = simulation.DEVICE.pool_high
    assert found["buffers"] == BUFFERS
    assert found["context"] == OVERHEAD
    assert found["pool_peak"] == high["reserved"] > high["used"] > 0, "what the pool keeps is taken from others too"
    assert found["accounted"] == 12345
    assert "allocated_peak" not in found, "this process has the allocator that a deployment has"


def test_counting_is_for_processes_of_its_own(lenet: OnnxArtifact, root: Path) -> None:
    with simulated():
        found = _trial(lenet, root, number=3).device_bytes
        alone = _trial(lenet, root, number=3, trials=1).device_bytes
    known = found["declared_weights"] + found["declared_context"] + BUFFERS
    assert known <= found["allocated_peak"] < known + 4096, "and the little that an inference asks for while it runs"
    assert not {"device_delta", "pool_peak", "process", held_name("load")} & found.keys()
    assert "allocated_peak" not in alone


def test_what_nobody_accounts_is_absent(lenet: OnnxArtifact, root: Path) -> None:
    with simulated(nvml=False):
        found = _trial(lenet, root, number=2).device_bytes
    assert not {"accounted", "context", "process"} & found.keys()
