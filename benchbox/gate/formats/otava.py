"""How are all nights written for Apache Otava, which looks for change points: one CSV a case, and its YAML?"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence

from benchbox.gate.formats.measured import all_series, values_of_case
from benchbox.gate.policy import Policy
from benchbox.gate.series import CaseSeries, commit_of
from benchbox.metrics.metric import METRICS
from benchbox.schema.reading import Better
from benchbox.schema.record import Record

CONFIGURATION = "otava.yaml"


def otava_of(records: Sequence[Record], policy: Policy) -> dict[str, str]:
    """The texts of the files by their names: one CSV for each case, and the configuration that names them.

    A row is a night that has all of the case's metrics. In the configuration strings are JSON's, which YAML knows.
    """
    files, tests = {}, []
    for number, series in enumerate(all_series(records, policy)):
        metrics, text = _table(series, policy)
        if not metrics:
            continue
        file = f"{number:04d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', series.name)[:80]}.csv"
        files[file] = text
        tests.append(_test(series.name, file, metrics))
    return {**files, CONFIGURATION: "tests:\n" + "".join(tests) if tests else "tests: {}\n"}


def _table(series: CaseSeries, policy: Policy) -> tuple[tuple[str, ...], str]:
    nights = [
        {value.reading.metric: value for value in values_of_case(series, policy, night)}
        for night in sorted(series.nights)
    ]
    nights = [night for night in nights if night]
    # Metrics that only some nights have would leave holes, which Otava takes for text.
    metrics = tuple(metric for metric in METRICS.names() if nights and all(metric in night for night in nights[-14:]))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["time", "commit", *metrics])
    for night in nights:
        if metrics and all(metric in night for metric in metrics):
            record = night[metrics[0]].record
            values = [repr(night[metric].reading.value) for metric in metrics]
            rows.writerow([record.started_at, commit_of([record]) or record.id, *values])
    return metrics, text.getvalue()


def _test(name: str, file: str, metrics: Sequence[str]) -> str:
    lines = [f"  {json.dumps(name)}:", "    type: csv", f"    file: {json.dumps(file)}", "    time_column: time"]
    lines += ["    attributes: [commit]", "    metrics:"]
    for metric in metrics:
        direction = -1 if METRICS.get(metric).better is Better.LOWER else 1
        lines.append(f"      {metric}: {{column: {metric}, direction: {direction}}}")
    return "\n".join(lines) + "\n"
