"""Records made by hand. Their device is virtual, so that none can be mistaken for a measurement."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from hypothesis import strategies as st

from benchbox.schema.artifact import Hop
from benchbox.schema.environment import Environment
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Better, Flag, Reading, Severity
from benchbox.schema.record import Analytic, Correctness, Record, RecordKey, Status
from benchbox.schema.trial import Evidence, Pass, Trial

ENVIRONMENT = Environment(
    hash="0123456789ab", hardware={"cpu": "none"}, software={"benchbox": "0.1.0"}, observed={"load_1min": "0.00"}
)
EVIDENCE = Evidence(backend="null", device="virtual", providers=("virtual clock",), threads=1, executed={"fp32": 4})
HOP = Hop(
    source="pytorch-fp32", target="onnx-fp32", max_abs_error=1e-6, rel_l2_error=2e-7, cosine=0.9999999, passed=True
)


def record(number: int = 0, **fields: Any) -> Record:
    moment = datetime.datetime(2026, 1, 2, 3, 4, number, tzinfo=datetime.UTC)
    values: dict[str, Any] = {
        "id": f"20260102T0304{number:02d}Z-0000000{number % 10}",
        "status": Status.OK,
        "reason": "",
        "key": RecordKey(
            model="lenet5", backend="null", precision=Precision.FP32, batch=1, mode=Mode.ISOLATED, device="virtual"
        ),
        "plan": MeasurementPlan(
            min_time_s=2.0, max_time_s=10.0, memory_trials=3
        ),  # as in the golden file, whatever the defaults
        "environment": ENVIRONMENT,
        "started_at": moment.isoformat(),
        "readings": (
            Reading(metric="latency_p50", unit="s", value=1e-3, low=0.9e-3, high=1.1e-3, n=5, better=Better.LOWER),
            Reading(metric="throughput", unit="1/s", value=990.0, low=None, high=None, n=1, better=Better.HIGHER),
        ),
        "flags": (Flag(code="VIRTUAL_CLOCK", severity=Severity.ERROR, message="nothing was computed | really"),),
        "analytic": Analytic(
            params=1_256_080, macs=6_522_000, flops=13_095_460, weight_bytes=5_024_336, peak_activation_bytes=125_440
        ),
        "correctness": Correctness(hops=(HOP,), passed=True),
        "evidence": EVIDENCE,
        "onnx_sha256": "ab" * 32,
    }
    return Record(**{**values, **fields})


def skipped(number: int = 1) -> Record:
    return record(
        number,
        status=Status.SKIPPED,
        reason="bf16 cannot run here",
        readings=(),
        flags=(),
        analytic=None,
        correctness=Correctness(),
        evidence=None,
        onnx_sha256=None,
        key=dataclasses.replace(record().key, precision=Precision.BF16),
    )


def trials() -> tuple[Trial, ...]:
    timed = Trial(
        number=0,
        pass_=Pass.TIMING,
        started_at="2026-01-02T03:04:05+00:00",
        duration_s=1.5,
        evidence=EVIDENCE,
        clock="virtual",
        warmup_ns=(5000, 1000),
        samples_ns=(1000, 1001, 999),
        window_ns=3000,
        stopped_by="precision",
        counters={"window_s": 1.0},
    )
    return (timed, dataclasses.replace(timed, pass_=Pass.MEMORY, samples_ns=(), peak_host_bytes=12345))


finite = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(max_size=20)
readings = st.builds(
    Reading,
    metric=words,
    unit=words,
    value=finite,
    low=st.none() | finite,
    high=st.none() | finite,
    n=st.integers(0, 99),
    better=st.sampled_from(Better),
)
hops = st.builds(
    Hop,
    source=words,
    target=words,
    max_abs_error=st.floats(0, allow_nan=False),
    rel_l2_error=st.floats(0, allow_nan=False),
    cosine=st.floats(-1, 1),
    passed=st.booleans(),
)
any_record = st.builds(
    record,
    st.integers(0, 59),
    status=st.sampled_from(Status),
    reason=words,
    readings=st.lists(readings, max_size=4).map(tuple),
    flags=st.lists(st.builds(Flag, code=words, severity=st.sampled_from(Severity), message=words), max_size=3).map(
        tuple
    ),
    correctness=st.builds(Correctness, hops=st.lists(hops, max_size=3).map(tuple), passed=st.none() | st.booleans()),
    analytic=st.none() | st.just(record().analytic),
    evidence=st.none() | st.just(EVIDENCE),
    engine_sha256=st.none() | words,
)


def of_case(number: int) -> Record:
    """The record of a minute: of twelve cases in turn, on two machines."""
    at = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC) + datetime.timedelta(minutes=number)
    key = dataclasses.replace(record().key, model=f"net{number % 3}", batch=(1, 2, 10, 8)[number % 4])
    environment = dataclasses.replace(ENVIRONMENT, hash=f"{number % 2:012d}")
    return record(id=f"{at:%Y%m%dT%H%M%SZ}-{number:08x}", started_at=at.isoformat(), key=key, environment=environment)
