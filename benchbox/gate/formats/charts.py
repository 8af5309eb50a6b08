"""How are a night's numbers written for Bencher, for github-action-benchmark and for Prometheus or GitLab?"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from benchbox.gate.formats.measured import MeasuredValue

# Suffixes of names that say their unit.
_SUFFIXES = {"s": "s", "1/s": "per-s", "bytes": "bytes", "J": "J", "W": "W", "1": ""}
_BASE_UNITS = {"s": "seconds", "bytes": "bytes", "J": "joules", "W": "watts"}


def bmf_of(values: Sequence[MeasuredValue]) -> str:
    """Bencher Metric Format: by case, by measure ("latency-p50-s"), the value with its interval, in base units."""
    document: dict[str, dict[str, dict[str, float]]] = {}
    for value in values:
        reading = value.reading
        found = {"value": reading.value}
        if reading.low is not None and reading.high is not None:
            found |= {"lower_value": reading.low, "upper_value": reading.high}
        document.setdefault(value.name, {})[_slug(reading.metric, reading.unit)] = found
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def github_benchmark_of(values: Sequence[MeasuredValue], *, smaller_is_better: bool) -> str:
    """The list of github-action-benchmark's customSmallerIsBetter, or of customBiggerIsBetter."""
    rows = [_github_row(value) for value in values if value.smaller_is_better is smaller_is_better]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def _github_row(value: MeasuredValue) -> dict[str, Any]:
    reading, record = value.reading, value.record
    row: dict[str, Any] = {"name": f"{value.name} {reading.metric}", "unit": reading.unit, "value": reading.value}
    extra = []
    if reading.low is not None and reading.high is not None:
        row["range"] = f"± {(reading.high - reading.low) / 2:.3g}"
        extra.append(f"ci95 {reading.low:.6g}..{reading.high:.6g}")
    engine = f"engine={record.engine_sha256[:8]}" if record.engine_sha256 else ""
    extra += [f"n={reading.n}", f"env={record.environment.hash}", engine, f"record={record.id}"]
    return {**row, "extra": " ".join(filter(None, extra))}


def openmetrics_of(values: Sequence[MeasuredValue]) -> str:
    """OpenMetrics: a gauge a metric, a sample a case.

    With three significant digits, since GitLab compares them as text; without times, since they are of now.
    """
    families: dict[tuple[str, str], list[str]] = {}
    for value in values:
        reading = value.reading
        unit = _BASE_UNITS.get(reading.unit, "per_second" if reading.unit == "1/s" else "")
        name = re.sub(r"[^a-zA-Z0-9_]", "_", f"benchbox_{reading.metric}" + (f"_{unit}" if unit else ""))
        case = value.series.case
        labels = {"case": value.name, "model": case.model, "backend": case.backend, "precision": str(case.precision)}
        labels |= {"batch": str(case.batch), "mode": str(case.mode), "machine": value.series.machine}
        text = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels.items())
        families.setdefault((name, unit), []).append(f"{name}{{{text}}} {_rounded(reading.value)}")
    lines = []
    for (name, unit), samples in families.items():
        lines += [f"# TYPE {name} gauge", *([f"# UNIT {name} {unit}"] if unit else []), *samples]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _rounded(number: float) -> str:
    return f"{number:.3g}" if math.isfinite(number) else "NaN"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _slug(metric: str, unit: str) -> str:
    return "-".join(filter(None, (metric.replace("_", "-"), _SUFFIXES.get(unit, re.sub(r"\W+", "-", unit)))))
