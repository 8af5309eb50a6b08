"""Records as pandas sees them."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import record, skipped

from benchbox.errors import UsageError
from benchbox.schema.identity import identity_of
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.record import BuildCost, Record, RecordKey
from benchbox.store.frame import COLUMNS, frame_from_records, identity_from_row, table_from_frame
from benchbox.store.selection import conditions_from_words, matching


def test_one_row_per_record_and_metric() -> None:
    frame = frame_from_records([record(0), record(2)])
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 4
    row = frame.iloc[0]
    assert (row["metric"], row["value"], row["low"], row["high"], row["n"]) == ("latency_p50", 1e-3, 0.9e-3, 1.1e-3, 5)
    assert (row["macs"], row["env"], row["flags"]) == (6_522_000, "0123456789ab", "VIRTUAL_CLOCK")
    assert bool(row["correct"]) is True
    assert row["rel_l2_error"] == 2e-7
    assert row["started_at"] == pd.Timestamp("2026-01-02T03:04:00Z")
    assert pd.isna(frame.iloc[1]["low"]), "what was not measured is missing, not 0"


def test_what_was_built_has_its_cost_and_nothing_else_has() -> None:
    made = (BuildCost(what="engine", duration_s=2.5, peak_host_bytes=None),)
    row = frame_from_records([record(builds=made)]).iloc[0]
    assert row["engine_build_s"] == 2.5
    assert pd.isna(row["engine_build_host_bytes"])
    assert pd.isna(row["onnx_build_s"])
    assert {"engine_build_s", "onnx_build_host_bytes"} <= set(table_from_frame(frame_from_records([record()])).columns)


def test_nothing_is_silently_missing() -> None:
    frame = frame_from_records([record(0), skipped(1)])
    row = frame[frame["status"] == "skipped"].iloc[0]
    assert row["reason"] == "bf16 cannot run here"
    assert pd.isna(row["metric"])
    assert pd.isna(row["macs"])
    table = table_from_frame(frame)
    assert list(table["status"]) == ["ok", "skipped"]
    assert pd.isna(table["latency_p50"].iloc[1])


def test_types_do_not_depend_on_the_records() -> None:
    types = frame_from_records([record()]).dtypes
    for records in ([], [skipped()], [record(), skipped()]):
        assert frame_from_records(records).dtypes.equals(types)


def test_the_wide_table_has_one_row_per_record() -> None:
    table = table_from_frame(frame_from_records([record(0), skipped(1), record(2)]))
    assert len(table) == 3
    assert {"latency_p50", "latency_p50_low", "latency_p50_high", "throughput"} <= set(table.columns)
    assert list(table["id"]) == [record(0).id, skipped(1).id, record(2).id]
    assert table["n"].iloc[0] == 5


plans = st.builds(
    MeasurementPlan,
    mode=st.sampled_from(Mode),
    threads=st.integers(1, 64),
    group=st.integers(1, 9),
    streams=st.integers(1, 9),
    rate_per_s=st.none() | st.floats(1, 1e6),
    latency_bound_s=st.none() | st.floats(1e-6, 10),
    transfer=st.sampled_from(("resident", "timed", "inside")),
    wait=st.sampled_from(("spin", "blocking")),
    like=st.sampled_from(("", "trtexec-10")),
)


@st.composite
def cases(draw: st.DrawFn) -> Record:
    """A record of any case, with readings or without."""
    plan = draw(plans)
    text = st.text("abc.*=, ", min_size=1, max_size=9)
    key = RecordKey(
        model=draw(text),
        backend=draw(text),
        precision=draw(st.sampled_from(Precision)),
        batch=draw(st.integers(1, 2**40)),
        mode=plan.mode,
        device=draw(st.sampled_from(("cpu", "cuda"))),
        variant=draw(st.just("") | text),
    )
    made = draw(st.sampled_from((record, skipped)))()
    return dataclasses.replace(made, key=key, plan=plan, onnx_sha256=draw(st.none() | st.just("ab" * 32)))


@given(st.lists(cases(), min_size=1, max_size=4))
def test_a_row_is_enough_to_rebuild_its_case(records: list[Record]) -> None:
    records = [dataclasses.replace(each, id=str(place)) for place, each in enumerate(records)]
    frame = frame_from_records(records)
    expected = {each.id: identity_of(each) for each in records}
    for table in (frame, table_from_frame(frame)):
        rows = table.to_dict("records")
        assert {row["id"] for row in rows} == set(expected)
        for row in rows:
            assert identity_from_row(row) == expected[row["id"]]


@pytest.mark.parametrize("records", [[], [skipped()]], ids=["none", "skipped"])
def test_the_wide_table_without_numbers(records: list) -> None:
    table = table_from_frame(frame_from_records(records))
    assert len(table) == len(records)
    assert "latency_p50" in table.columns


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ((), 2),
        (("model=lenet5",), 2),
        (("model=le*",), 2),
        (("model=resnet*",), 0),
        (("status=ok",), 1),
        (("status=ok", "batch=1", "env=0123*"), 1),
        (("precision=bf16",), 1),
        (("id=20260102T030400Z*",), 1),
        (("threads=1",), 2),
        (("threads=2",), 0),
        (("onnx_sha256=abab*",), 1),
        (("started_at=2026-01-02*",), 2),
        (("transfer=resident", "variant=*"), 2),
        (("model=lenet5,resnet*",), 2),
        (("model=lenet5", "model=resnet*"), 2),
        (("model=resnet*,lenet5", "precision=fp32"), 1),
        (("model=lenet5,precision=bf16",), 1),
        (("precision=fp32,bf16,model=resnet*",), 0),
        (("precision=fp32, bf16",), 2),
    ],
)
def test_selection(words: tuple[str, ...], count: int) -> None:
    conditions = conditions_from_words(words)
    assert sum(matching(found, conditions) for found in (record(0), skipped(1))) == count


def test_numbers_are_selected_as_they_are_written() -> None:
    plan = MeasurementPlan(mode=Mode.SERVER, rate_per_s=200.0, latency_bound_s=0.05, streams=1)
    served = record(plan=plan, key=dataclasses.replace(record().key, mode=Mode.SERVER))
    for word in ("rate_per_s=200", "latency_bound_s=0.05", "streams=1", "mode=server"):
        assert matching(served, conditions_from_words((word,))), word
    assert not matching(record(), conditions_from_words(("streams=1",))), "isolated runs have no streams"


@pytest.mark.parametrize("word", ["model", "model=", "=x", "colour=red"])
def test_wrong_selections(word: str) -> None:
    with pytest.raises(UsageError, match=r"KEY=VALUE|records have no"):
        conditions_from_words((word,))
