"""Records on disk: whole or not at all, never changed, old ones readable."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from golden_records import FULL, FULL_TRIALS
from sample_records import HOP as SAMPLE_HOP
from sample_records import record, skipped, trials

from benchbox.errors import StoreError
from benchbox.metrics.probes import HANDOVER, probe_of
from benchbox.schema.energy import EnergyRun, EnergyWindow
from benchbox.schema.record import RECORD_SCHEMA
from benchbox.schema.trial import OutputsSeen, Pass, Trial
from benchbox.store.atomic import draft_of
from benchbox.store.columns import columns_of_samples
from benchbox.store.documents import plain
from benchbox.store.migrations import STEPS
from benchbox.store.records import (
    METADATA_KEY,
    append,
    check_writable,
    new_record_id,
    read_record,
    read_trials,
    record_files,
    records_under,
    trials_from_file,
)

GOLDEN_FOLDER = Path(__file__).parents[1] / "golden" / "records"


def everything(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = append(tmp_path, record(), trials())
    assert path == tmp_path / "results/records/env=0123456789ab/date=2026-01-02" / f"{record().id}.parquet"
    assert read_record(path) == record()
    rows = read_trials(path)
    assert [row["pass"] for row in rows] == ["timing", "memory"]
    assert rows[0]["samples_ns"] == [1000, 1001, 999]
    assert rows[0]["warmup_ns"] == [5000, 1000]
    assert rows[1]["peak_host_bytes"] == 12345
    assert {row["model"] for row in rows} == {"lenet5"}


def test_reading_starts_no_thread(tmp_path: Path) -> None:
    """One that outlives the reading aborts the process when it ends, now and then."""
    path = append(tmp_path, record(), trials())
    code = f"""
import os, pathlib, pyarrow.parquet
from benchbox.store.records import read_record, read_trials
import benchbox.store.atomic, benchbox.store.parts.part
def threads(): return len(os.listdir("/proc/self/task"))
path = pathlib.Path({str(path)!r})
before = threads()
rows = read_trials(path)
assert len(rows) == 2 and read_record(path).id == rows[0]["record_id"]
assert threads() == before, (before, threads())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_energy_comes_back_window_by_window(tmp_path: Path) -> None:
    window = EnergyWindow(
        energy_j={"cpu_package": 300.25, "dram": 12.5},
        duration_s=10.001,
        inferences=2000.25,
        edge_s=0.0007,
        power_j=None,
        temperature_before_c=40.0,
        temperature_after_c=None,
    )
    run = EnergyRun(
        counter="RAPL", scope="cpu_package", tick_s=0.001, window_s=10.0, windows=(window, window), resets=1
    )
    made = dataclasses.replace(trials()[1], pass_=Pass.ENERGY, energy=run)
    path = append(tmp_path, record(), (*trials(), made))
    assert [trial.energy for trial in trials_from_file(path, record())] == [None, None, run]


def test_what_was_seen_of_outputs_comes_back(tmp_path: Path) -> None:
    right, wrong = SAMPLE_HOP, dataclasses.replace(SAMPLE_HOP, rel_l2_error=math.inf, passed=False)
    seen = OutputsSeen(sha256="ab" * 32, change=wrong, reference=right)
    made = dataclasses.replace(trials()[0], outputs=seen)
    path = append(tmp_path, record(), (made, *trials()[1:]))
    assert [trial.outputs for trial in trials_from_file(path, record())] == [seen, None]


def test_a_wall_clock_that_steps_back_harms_no_record(tmp_path: Path) -> None:
    """Ids and dates come from it: what is stored later may sort first, and nothing is overwritten."""
    moments = [datetime.datetime(2026, 1, 2, *at, tzinfo=datetime.UTC) for at in ((0, 0, 1), (0, 0, 1), (0, 0, 0))]
    moments.append(moments[0] - datetime.timedelta(hours=1))
    made = [record(id=new_record_id(moment), started_at=moment.isoformat()) for moment in moments]
    for each in made:
        append(tmp_path, each, trials())
    found = list(records_under(tmp_path))
    assert len(found) == 4
    assert sorted(each.id for each in made) == [each.id for each in found]
    assert found[0] == made[3], "an hour back lies the day before"
    assert {path.parent.name for path in record_files(tmp_path)} == {"date=2026-01-01", "date=2026-01-02"}


def test_a_record_without_trials_is_kept_too(tmp_path: Path) -> None:
    path = append(tmp_path, skipped(), ())
    assert read_record(path) == skipped()
    assert read_trials(path) == []


def test_records_come_oldest_first(tmp_path: Path) -> None:
    for number in (5, 1, 3):
        append(tmp_path, record(number), ())
    assert [found.id for found in records_under(tmp_path)] == [record(number).id for number in (1, 3, 5)]
    assert list(records_under(tmp_path / "nowhere")) == []


def test_a_record_is_never_changed(tmp_path: Path) -> None:
    path = append(tmp_path, record(), trials())
    before = path.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        append(tmp_path, record(), ())
    assert path.read_bytes() == before


def test_ids_are_unique_and_sort_by_time() -> None:
    moment = datetime.datetime(2026, 11, 23, 16, 55, 1, tzinfo=datetime.UTC)
    ids = {new_record_id(moment) for _ in range(100)}
    assert len(ids) == 100
    assert all(found.startswith("20261123T165501Z-") for found in ids)
    assert new_record_id(moment + datetime.timedelta(seconds=1)) > max(ids)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "foreign"])
def test_a_damaged_file_is_named(damage: str, tmp_path: Path) -> None:
    path = append(tmp_path, record(), trials())
    data = path.read_bytes()
    if damage == "foreign":
        pq.write_table(pq.read_table(path, partitioning=None).replace_schema_metadata({}), path)
    else:
        path.write_bytes({"truncated": data[:-20], "empty": b"", "text": b"not parquet"}[damage])
    with pytest.raises(StoreError, match=path.name):
        list(records_under(tmp_path))


def test_an_unwritable_place_is_found_out_before(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert everything(tmp_path) == []
    (tmp_path / "blocked").write_text("a file")
    with pytest.raises(StoreError, match="blocked"):
        check_writable(tmp_path / "blocked")
    with pytest.raises(StoreError, match="blocked"):
        append(tmp_path / "blocked", record(), ())


def test_an_error_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StoreError, match="No space left"):
        append(tmp_path, record(), ())
    assert everything(tmp_path) == []


def test_a_process_killed_while_writing_leaves_no_record(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from sample_records import record, trials\n"
        "from benchbox.store.records import append\n"
        "pathlib.Path.replace = lambda *_: os._exit(9)  # dies between writing and renaming\n"
        f"append(pathlib.Path({str(tmp_path)!r}), record(), trials())\n"
    )
    run = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert run.returncode == 9
    assert record_files(tmp_path) == ()
    assert append(tmp_path, record(), trials()).exists(), "the place is not blocked by what the dead process left"


def test_a_draft_becomes_the_file_only_without_an_error(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with draft_of(target) as draft:
        draft.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    with pytest.raises(ZeroDivisionError), draft_of(target) as draft:  # noqa: PT012 - both lines are the point
        draft.write_text("ha")
        _ = 1 / 0
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


# Before version 3 nothing was said of weights beside an ONNX file.
BEFORE_WEIGHTS = dataclasses.replace(FULL, weights_sha256=None, weights="")
EXPECTED = {
    "record_v1": (record(), trials()),
    "record_v1_late": (BEFORE_WEIGHTS, FULL_TRIALS),
    "record_v2": (BEFORE_WEIGHTS, FULL_TRIALS),
    "record_v3": (FULL, FULL_TRIALS),
    "record_v4": (FULL, FULL_TRIALS),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_records_of_every_version_stay_readable(name: str) -> None:
    path = GOLDEN_FOLDER / f"{name}.parquet"
    expected, made = EXPECTED[name]
    assert read_record(path) == expected
    assert trials_from_file(path, expected) == made
    assert [row["samples_ns"] for row in read_trials(path)] == [list(trial.samples_ns) for trial in made]


def test_a_run_of_version_1_keeps_its_values() -> None:
    """Read around the migration: what the file holds, and what becomes of it."""
    path = GOLDEN_FOLDER / "record_v1_run.parquet"
    table = pq.read_table(path, partitioning=None)
    raw, rows = json.loads(table.schema.metadata[METADATA_KEY]), table.to_pylist()
    found = read_record(path)
    renamed = {"reference_arithmetic": "probe_arithmetic", "reference_handover": "probe_handover"}
    before = {renamed.get(entry["metric"], entry["metric"]): entry for entry in raw["readings"]}
    assert {"probe_arithmetic", "probe_handover", "latency_p50", "peak_host_memory"} <= set(before)
    for reading in found.readings:
        old = before.pop(reading.metric)
        assert (reading.value, reading.low, reading.n, reading.mde) == (old["value"], old["low"], old["n"], old["mde"])
    assert not before
    names = {"PRECISION_MISS": "WIDE_INTERVAL", "BETWEEN_PROC": "PROCESSES_DIFFER"}
    assert [flag.code for flag in found.flags] == [names.get(flag["code"], flag["code"]) for flag in raw["flags"]]
    assert {"PRECISION_MISS"} <= {flag["code"] for flag in raw["flags"]}
    assert plain(found.plan) == {**raw["plan"], "injected_delay": 0.0, "turn_s": 0.0}
    assert plain(found.environment) == raw["environment"]
    made = trials_from_file(path, found)
    assert [trial.pass_.value for trial in made] == [row["purpose"] for row in rows]
    assert {Pass.CHECK, Pass.TIMING, Pass.MEMORY} == {trial.pass_ for trial in made}
    for trial, row in zip(made, rows, strict=True):
        assert list(trial.samples_ns) == row["samples_ns"]
        assert trial.peak_host_bytes == row["peak_host_bytes"]
        counters = {name.replace("reference_", "probe_"): value for name, value in json.loads(row["counters"]).items()}
        assert dict(trial.counters) == counters
    (timed, *_) = (trial for trial in made if trial.pass_ is Pass.TIMING)
    assert probe_of(timed.counters, HANDOVER) is not None
    assert timed.outputs is not None, "what was seen of the outputs came back too"


def test_there_is_a_golden_record_of_every_version() -> None:
    versions = {name.rpartition("/")[2] for name in (*STEPS, RECORD_SCHEMA)}
    assert {path.stem.split("_")[1].removeprefix("v") for path in GOLDEN_FOLDER.glob("*.parquet")} == versions


def test_every_field_of_a_trial_is_stored_but_those_that_the_record_holds() -> None:
    """Each in a golden trial with a value that is not its default, so that a lost column cannot go unseen."""
    for field in dataclasses.fields(Trial):
        stored = field.metadata.get("stored", True)
        assert stored or field.name in {"evidence", "hop", "file_hop", "layers"}
        if stored and field.default is not dataclasses.MISSING:
            assert any(getattr(trial, field.name) != field.default for trial in FULL_TRIALS), field.name
        if stored and field.default_factory is not dataclasses.MISSING:
            assert any(getattr(trial, field.name) for trial in FULL_TRIALS), field.name
    columns = {name for name, _ in columns_of_samples()}
    assert {"pass", "loadgen", "samples_ns", "onnx_sha256", "variant", "threads", "rate_per_s"} <= columns
    assert not {"purpose", "load", "evidence", "hop"} & columns


def test_a_counter_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    made = dataclasses.replace(trials()[0], counters={"window_s": 1.0, "odd": math.nan})
    (found,) = trials_from_file(append(tmp_path, record(), (made,)), record())
    assert dict(found.counters) == {"window_s": 1.0}
