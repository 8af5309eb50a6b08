"""What tells two cases apart, and what does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchbox.schema.environment import Environment
from benchbox.schema.identity import CaseIdentity, identity_of
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.record import Record, RecordKey, Status


def record(*, key: dict[str, Any] | None = None, sha: str = "ab", weights: str | None = None, **plan: Any) -> Record:
    made = MeasurementPlan(**plan)
    name: dict[str, Any] = {"model": "net", "backend": "b", "precision": Precision.FP32, "device": "cpu"}
    return Record(
        id="1",
        status=Status.OK,
        reason="",
        key=RecordKey(**{**name, "batch": made.batch, "mode": made.mode, **(key or {})}),
        plan=made,
        environment=Environment(hash="0", hardware={}, software={}),
        started_at="2026-01-01T00:00:00+00:00",
        onnx_sha256=sha * 32,
        weights_sha256=None if weights is None else weights * 32,
    )


@pytest.mark.parametrize(
    "other",
    [
        {"key": {"model": "other"}},
        {"key": {"backend": "c"}},
        {"key": {"precision": Precision.FP16}},
        {"key": {"variant": "exclude=fc*"}},
        {"key": {"device": "cuda"}},
        {"sha": "cd"},
        {"weights": "ef"},
        {"batch": 2},
        {"threads": 2},
        {"transfer": "inside"},
        {"like": "trtexec-11"},
        {"mode": Mode.OFFLINE},
    ],
    ids=str,
)
def test_what_tells_cases_apart(other: dict[str, Any]) -> None:
    base, changed = identity_of(record()), identity_of(record(**other))
    assert base != changed
    assert len(base.differences(changed)) == 1
    assert (base.without_network == changed.without_network) is bool({"sha", "weights"} & set(other))


@pytest.mark.parametrize(
    ("mode", "sizes"),
    [
        (Mode.ISOLATED, set()),
        (Mode.OFFLINE, set()),
        (Mode.BATCHED, {"group"}),
        (Mode.CONCURRENT, {"streams"}),
        (Mode.MULTI_STREAM, {"streams"}),
        (Mode.PIPELINED, {"wait"}),
        (Mode.SERVER, {"streams", "rate_per_s", "latency_bound_s"}),
    ],
)
def test_sizes_matter_in_the_modes_that_use_them(mode: Mode, sizes: set[str]) -> None:
    values = {"group": 3, "streams": 4, "wait": "blocking", "rate_per_s": 5.0, "latency_bound_s": 0.1}
    base = identity_of(record(mode=mode))
    found = {name for name, value in values.items() if identity_of(record(mode=mode, **{name: value})) != base}
    assert found == sizes


def test_how_long_was_measured_does_not_matter() -> None:
    assert identity_of(record()) == identity_of(record(trials=9, seed=3, max_time_s=9.0, energy_windows=5))


def test_every_field_is_decided_by_the_record() -> None:
    """A new field of the identity needs a value in ``identity_of``: the type checker, and this."""
    assert {field.name for field in dataclasses.fields(CaseIdentity)} == set(dataclasses.asdict(identity_of(record())))
