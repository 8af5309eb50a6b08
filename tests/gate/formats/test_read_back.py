"""What the gate writes for others, read by parsers that are not ours."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import venv
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import junitparser
import pytest
import write_schemas
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sample_nights import NEW_DRIVER, level, nights
from sample_records import ENVIRONMENT, trials

from benchbox.gate.selftest import Selftest, write_selftest
from benchbox.stats.again import Round, decide
from benchbox.store.records import append, record_files

STEP = [*level(20, 1e-3), *level(3, 1.2e-3, 1)]
STRANGE = 'a<b>&"c%\nd'


def stored(root: Path, values: Any = STEP, *models: str, **fields: Any) -> None:
    for model in models or ("lenet5", STRANGE):
        for number, entry in enumerate(nights(values, flags=(), **fields)):
            key = dataclasses.replace(entry.key, model=model)
            identifier = f"{entry.id[:-8]}{zlib.crc32(model.encode()) % 10000:04d}{number:04d}"
            append(root, dataclasses.replace(entry, key=key, id=identifier), trials())


def test_json_follows_its_published_schema(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    schema = json.loads(write_schemas.PAGE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(benchbox("gate", "--json").document)) == []
    stored(tmp_path, STEP[:-2], "gone")
    stored(tmp_path)
    pair = Round(base=(1.0,) * 5, head=(1.0,) * 5)
    found = decide([pair], effect=0.05, chance=0.002)
    write_selftest(
        tmp_path,
        Selftest(night="2026-01-23", machine="none", name="x", effect=0.05, injected=0.1, aa=(found,), slowed=found),
    )
    red = benchbox("gate", "--json").document
    assert {row["outcome"] for row in red["verdicts"]} >= {"slower", "missing", "same"}
    assert list(validator.iter_errors(red)) == []
    assert benchbox("baseline", "accept", red["groups"][0]["id"], "--reason", "x").status == 0
    assert list(validator.iter_errors(benchbox("gate", "--json").document)) == []
    assert list(validator.iter_errors({**red, "more": 1})) != []


def test_json_of_a_new_environment_does_too(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:21], environment=lambda night: NEW_DRIVER if night == 20 else ENVIRONMENT)
    document = benchbox("gate", "--json").document
    assert document["exit"] == 8
    jsonschema.validate(document, json.loads(write_schemas.PAGE.read_text()))


def test_the_published_schema_is_that_of_the_types() -> None:
    assert json.loads(write_schemas.PAGE.read_text()) == write_schemas.gate_schema()


def test_junit(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path)
    stored(tmp_path, STEP[:-2], "gone")
    assert benchbox("gate", "--junit", "gate.xml").status == 1
    report = junitparser.JUnitXml.fromfile(str(tmp_path / "gate.xml"))
    cases = [case for suite in report for case in suite]
    kinds = [type(result).__name__ for case in cases for result in case.result]
    assert (kinds.count("Failure"), kinds.count("Error")) == (2, 1)
    assert len({(case.classname, case.name) for case in cases}) == len(cases)
    suites = list(report)
    assert (suites[0].failures, suites[0].errors, suites[0].tests) == (2, 1, len(cases))
    failure = next(result for case in cases for result in case.result if isinstance(result, junitparser.Failure))
    assert failure.type == "slower"
    assert "benchbox history" in failure.text


def test_junit_has_the_time_of_a_case_s_processes_once(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    """Two processes of 1.5 s a case; those that are missing took none that anybody knows of; one is damaged."""
    stored(tmp_path)
    stored(tmp_path, STEP[:-2], "gone")
    newest = [path for path in record_files(tmp_path) if path.name.startswith("20260123")]
    assert benchbox("gate", "--junit", "gate.xml").status == 1
    report = junitparser.JUnitXml.fromfile(str(tmp_path / "gate.xml"))
    (suite,) = report
    times: dict[str, list[float | None]] = {}
    for case in suite:
        times.setdefault(case.name.split("/null")[0], []).append(case.time)
    assert times.pop("gone") == [None] * len([case for case in suite if case.name.startswith("gone")])
    assert len(times) == 2
    for found in times.values():
        assert found == [3.0, *[0.0] * (len(found) - 1)]
    assert (suite.time, report.time) == (6.0, 6.0)

    whole = newest[0].read_bytes()
    rows = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # what is before the footer
    newest[0].write_bytes(b"\0" * rows + whole[rows:])
    assert benchbox("gate", "--junit", "gate.xml").status == 1
    assert junitparser.JUnitXml.fromfile(str(tmp_path / "gate.xml")).time == 3.0


def test_openmetrics(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path)
    assert benchbox("gate", "--openmetrics", "metrics.txt").status == 1
    text = (tmp_path / "metrics.txt").read_text()
    (family,) = text_string_to_metric_families(text)
    assert (family.name, family.type, family.unit) == ("benchbox_latency_p50_seconds", "gauge", "seconds")
    found = {sample.labels["model"]: sample.value for sample in family.samples}
    assert set(found) == {"lenet5", STRANGE}
    assert found["lenet5"] == pytest.approx(1.2e-3, rel=0.02)
    # Three digits: the same night gives the same text.
    assert all(value == float(f"{value:.3g}") for value in found.values())


def test_bmf(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    """The shape that Bencher publishes as its metric format: case, measure, value with optional ends."""
    number = {"type": "number"}
    metric = {
        "type": "object",
        "properties": {"value": number, "lower_value": number, "upper_value": number},
        "required": ["value"],
        "additionalProperties": False,
    }
    schema = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": metric}}
    stored(tmp_path)
    assert benchbox("gate", "--bmf", "bmf.json").status == 1
    document = json.loads((tmp_path / "bmf.json").read_text())
    jsonschema.validate(document, schema)
    found = document["lenet5/null/fp32/b1/isolated/t1/virtual@none"]["latency-p50-s"]
    assert found["lower_value"] < found["value"] < found["upper_value"]


def test_github_benchmark(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    text = {"type": "string", "minLength": 1}
    row = {
        "type": "object",
        "properties": {"name": text, "unit": text, "value": {"type": "number"}, "range": text, "extra": text},
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    }
    stored(tmp_path)
    assert benchbox("gate", "--github-benchmark", "bench.json").status == 1
    smaller, bigger = (json.loads((tmp_path / f"bench.{word}.json").read_text()) for word in ("smaller", "bigger"))
    for document in (smaller, bigger):
        jsonschema.validate(document, {"type": "array", "items": row})
    assert bigger == []
    assert [entry["name"].split()[-1] for entry in smaller] == ["latency_p50"] * 2
    assert smaller[0]["range"].startswith("± ")


def test_otava(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path)
    assert benchbox("gate", "--otava", "otava/here").status == 1
    folder = tmp_path / "otava" / "here"
    tests = yaml.safe_load((folder / "otava.yaml").read_text())["tests"]
    assert set(tests) == {f"{model}/null/fp32/b1/isolated/t1/virtual@none" for model in ("lenet5", STRANGE)}
    for test in tests.values():
        assert (test["type"], test["time_column"], test["attributes"]) == ("csv", "time", ["commit"])
        assert test["metrics"] == {"latency_p50": {"column": "latency_p50", "direction": -1}}
        with (folder / test["file"]).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 23
        assert (rows[20]["commit"], rows[0]["time"]) == ("c020", "2026-01-01T02:17:00+00:00")
        assert math.isclose(float(rows[-1]["latency_p50"]), STEP[-1])


@pytest.mark.nightly
@pytest.mark.slow
def test_otava_itself_finds_the_step(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    """Apache Otava pins an old numpy, so it gets an environment of its own."""
    stored(tmp_path, [*level(20, 1e-3), *level(12, 1.2e-3, 1)], "lenet5")
    assert benchbox("gate", "--otava", "otava", "--no-exit").status == 0
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    installed = subprocess.run(
        [home / "bin" / "pip", "install", "-q", "apache-otava"], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        pytest.skip(f"apache-otava cannot be installed on Python {sys.version_info[:2]}: {installed.stderr[-200:]}")
    tool = shutil.which("otava", path=str(home / "bin"))
    assert tool is not None
    ran = subprocess.run(
        [tool, "analyze", "lenet5/null/fp32/b1/isolated/t1/virtual@none", "--since", "2025-12-01"],
        cwd=tmp_path / "otava",
        env={**os.environ, "OTAVA_CONFIG": str(tmp_path / "otava" / "otava.yaml")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "c020" in ran.stdout
    assert "+2" in ran.stdout
