"""Streams that run at once on a GPU: what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler
from benchbox.export.engines import engine_from_artifact
from benchbox.measure.process.trials import TrialRequest
from benchbox.measure.process.worker import trial_from_request
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.trial import Pass


@pytest.mark.parametrize(("backend", "streams"), [("tensorrt", 1), ("tensorrt", 3), ("tensorrt-graph", 2)])
def test_the_contexts_of_streams_share_one_engine(backend: str, streams: int, exports: Any, tmp_path: Path) -> None:
    """As with trtexec's --infStreams: the weights lie on the device once, whatever the number of streams."""
    lenet = exports.copy_to(tmp_path, "lenet5")
    compiler = BACKENDS.get("tensorrt")
    assert isinstance(compiler, Compiler)
    plan = MeasurementPlan(
        mode=Mode.CONCURRENT,
        streams=streams,
        input_slots=2,
        warmup_s=0.0,
        warmup_max_s=0.0,
        warmup_iterations=2,
        min_time_s=0.0,
        max_time_s=0.02,
        min_samples=3,
    )
    with simulated(grain_bytes=1) as simulation:
        import tensorrt

        loads: list[int] = []
        usual = tensorrt.Runtime.deserialize_cuda_engine

        def counted(runtime: Any, content: bytes) -> Any:
            loads.append(len(content))
            return usual(runtime, content)

        tensorrt.Runtime.deserialize_cuda_engine = counted
        one = BatchRange(minimum=1, optimum=1, maximum=1)
        built = engine_from_artifact(lenet, compiler=compiler, precision=Precision.FP32, root=tmp_path, batch=one)
        trial = trial_from_request(
            TrialRequest(
                number=0,
                pass_=Pass.TIMING,
                source=resolve("lenet5", input_shape=None, weights=None),
                artifact=lenet,
                engine=built.engine,
                backend=backend,
                precision=Precision.FP32,
                plan=plan,
                root=tmp_path,
            )
        )
        assert len(loads) == 1
        assert trial.evidence.options["contexts"] == str(streams)
        assert len(trial.samples_ns) >= 3
        assert trial.outputs is not None
        assert trial.outputs.reference is not None
        assert trial.outputs.reference.passed, "each stream has outputs of its own"
        assert simulation.DEVICE.used_bytes == 0, "everything was given back"
