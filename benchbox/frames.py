"""What do records, layers, ceilings and verdicts look like to a person with pandas?

Every function takes a project root, a folder, or a file, and returns one tidy frame: base SI units, one value a row,
all columns there also without rows. A damaged file is named in a Python warning and left out.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbox.errors import StoreError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from benchbox.gate.comparable import Measured
    from benchbox.schema.device import Ceilings

# Where tables of layers are stored; what `benchbox layers --json` wrote may lie there too.
LAYERS_FOLDER = Path("results") / "layers"
_LAYERS_SCHEMA = "benchbox.layers/1"
_STORED_SCHEMA = "benchbox.layers-record/1"
_LAYER_OF_NETWORK = {
    "model": "string",
    "backend": "string",
    "precision": "string",
    "batch": "Int64",
    "threads": "Int64",
    "onnx_sha256": "string",
    "latency_s": "Float64",
    "profiled_s": "Float64",
}
_LAYER = {
    "name": "string",
    "executed_as": "string",
    "kind": "string",
    "type": "string",
    "moves_data": "boolean",
    "time_s": "Float64",
    "macs": "Int64",
    "flops": "Int64",
    "bytes": "Int64",
    "flops_per_s": "Float64",
    "arithmetic_intensity": "Float64",
    "bound": "string",
}
_STORED = {"id": "string", "started_at": "datetime64[ns, UTC]", "env": "string"}
LAYER_COLUMNS = {**_STORED, **_LAYER_OF_NETWORK, "position": "Int64", **_LAYER, "share": "Float64", "file": "string"}
CEILING_COLUMNS = {
    "id": "string",
    "started_at": "datetime64[ns, UTC]",
    "device": "string",
    "title": "string",
    "env": "string",
    "quick": "boolean",
    "of": "string",
    "precision": "string",
    "pace": "string",
    "level": "string",
    "threads": "Int64",
    "value": "Float64",
    "low": "Float64",
    "high": "Float64",
    "unit": "string",
    "n": "Int64",
    "library": "string",
    "version": "string",
}
_COMPARED = {
    "metric": "string",
    "outcome": "string",
    "ratio": "Float64",
    "low": "Float64",
    "high": "Float64",
    "mde": "Float64",
    "n_base": "Int64",
    "n_head": "Int64",
    "reason": "string",
}
_CASE = {
    "model": "string",
    "backend": "string",
    "precision": "string",
    "variant": "string",
    "batch": "Int64",
    "mode": "string",
    "threads": "Int64",
    "device": "string",
    "onnx_sha256": "string",
}
# Where two different cases are compared, what the base's was.
_OF_BASE = ("backend", "precision", "batch", "threads")
VERDICT_COLUMNS = {**_CASE, **{f"base_{name}": _CASE[name] for name in _OF_BASE}, **_COMPARED}


def records(place: str | Path = ".") -> pd.DataFrame:
    """One row per record and metric; a failed or skipped record has one row without a metric.

    Args:
        place: a project root, a folder with record files somewhere below it, or one record file.

    Raises:
        StoreError: there are record files and none of them can be read.
        UsageError: there is no such file or folder.
    """
    from benchbox.store.frame import frame_from_records
    from benchbox.store.records import readable_records

    return frame_from_records([record for _, record in readable_records(_record_files(place), warn=_warn)])


def layers(place: str | Path = ".") -> pd.DataFrame:
    """One row per executed layer of stored tables and of what ``benchbox layers MODEL --json`` wrote, in their order.

    ``time_s`` is the median over profiled inferences, ``share`` its part of all layers' time.

    Args:
        place: one such file, a folder of them, or a project root, of which ``results/layers/*.json`` is read.

    Raises:
        StoreError: there are such files and none of them can be read.
        UsageError: there is no such file or folder.
    """
    path = _existing(place)
    folder = path / LAYERS_FOLDER if (path / LAYERS_FOLDER).is_dir() else path
    files = [path] if path.is_file() else sorted(folder.glob("*.json"))
    chosen = path.is_file() or folder != path
    rows: list[dict[str, Any]] = []
    errors: list[StoreError] = []
    for file in files:
        try:
            rows += _layer_rows(file, chosen=chosen)
        except StoreError as error:
            errors.append(error)
    _settle(errors, found=bool(rows))
    return _frame(rows, LAYER_COLUMNS)


def ceilings(place: str | Path = ".") -> pd.DataFrame:
    """One row per measured ceiling: ``of`` is "compute" (in FLOP/s) or "bandwidth" (in B/s).

    ``value`` is the median over ``n`` processes, ``low`` and ``high`` are their least and largest.

    Args:
        place: a project root, or one file of ``results/ceilings/``.

    Raises:
        UsageError: there is no such file or folder.
    """
    from benchbox.store.ceilings import read_ceilings, stored_ceilings

    path = _existing(place)
    one = read_ceilings(path, warn=_warn) if path.is_file() else None
    found = ([one] if one else []) if path.is_file() else stored_ceilings(path, warn=_warn)
    return _frame([row for measured in found for row in _ceiling_rows(measured)], CEILING_COLUMNS)


def verdicts(
    base: str | Path,
    head: str | Path,
    *,
    metrics: Sequence[str] = ("latency_p50",),
    min_effect: float | None = None,
    across_environments: bool = False,
    across_networks: bool = False,
    match: Sequence[str] = (),
) -> pd.DataFrame:
    """One row per case and metric of what ``benchbox compare BASE HEAD`` says; ``ratio`` is head over base.

    ``base_backend`` and the like are the base's, which differ from the head's only with ``match``.

    Args:
        base: a project root, a folder, or a record file.
        head: likewise.
        metrics: to judge.
        min_effect: the smallest change that matters, as a ratio minus 1; None is the device's default.
        across_environments: compare numbers of different environments too.
        across_networks: compare networks of one name that differ in MACs or parameters too.
        match: fields of a case that must be equal where different cases are to be compared.

    Raises:
        StoreError: one side has record files and none of them can be read.
        UsageError: there is no such file or folder, or no such metric or field.
    """
    from benchbox.gate.comparable import Rules
    from benchbox.gate.judge import verdicts_from_measured
    from benchbox.store.documents import plain

    rules = Rules(
        metrics=tuple(metrics),
        effect=min_effect,
        across_environments=across_environments,
        across_networks=across_networks,
        match=tuple(match),
    )
    found = verdicts_from_measured(_measured(base), _measured(head), rules)
    rows = []
    for verdict in found:
        case, base_case, said = plain(verdict.case), plain(verdict.base_case or verdict.case), plain(verdict)
        rows.append(
            {
                **{name: case[name] for name in _CASE},
                **{f"base_{name}": base_case[name] for name in _OF_BASE},
                **{name: said[name] for name in _COMPARED},
            }
        )
    return _frame(rows, VERDICT_COLUMNS)


def _measured(place: str | Path) -> list[Measured]:
    from benchbox.gate.comparable import Measured
    from benchbox.store.records import readable_records, readable_trials

    found = readable_records(_record_files(place), warn=_warn)
    return [Measured(record=record, trials=trials) for _, (record, trials) in readable_trials(found, warn=_warn)]


def _record_files(place: str | Path) -> Sequence[Path]:
    from benchbox.store.records import FOLDER, files_below, record_files

    path = _existing(place)
    return record_files(path) if (path / FOLDER).is_dir() else files_below(path)


def _existing(place: str | Path) -> Path:
    path = Path(place)
    if not path.exists():
        raise UsageError(
            f"there is no file or folder {place}",
            values=f"looked in {Path.cwd()}",
            remedy="give a project root, a folder or a file",
        )
    return path


def _layer_rows(path: Path, *, chosen: bool) -> list[dict[str, Any]]:
    """The layers of one document; none of another kind of JSON, unless the file was ``chosen`` for its place."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        kind = document.get("schema") if isinstance(document, dict) else None
        stored = {"id": None, "started_at": None, "env": None}
        if kind == _STORED_SCHEMA:
            stored = {
                "id": document["id"],
                "started_at": document["started_at"],
                "env": document["environment"]["hash"],
            }
            document = _document_of_stored(path, document)
            kind = _LAYERS_SCHEMA
        if kind != _LAYERS_SCHEMA and not chosen:
            return []
        if kind != _LAYERS_SCHEMA:
            raise StoreError(
                "a file is not what 'benchbox layers --json' writes",
                values=f"{path}: schema {kind!r}, not {_LAYERS_SCHEMA!r}",
                remedy="benchbox layers MODEL --json > FILE",
            )
        shared = {**stored, **{name: document[name] for name in _LAYER_OF_NETWORK}}
        whole = document["profiled_s"]
        return [
            {
                **shared,
                "position": place,
                **{name: layer[name] for name in _LAYER},
                "share": layer["time_s"] / whole if whole and layer["time_s"] is not None else None,
                "file": str(path),
            }
            for place, layer in enumerate(document["layers"])
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "a file of layers cannot be read",
            values=f"{path}: {type(error).__name__}: {error}",
            remedy="benchbox layers MODEL --json > FILE",
        ) from error


def _document_of_stored(path: Path, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``benchbox layers --json`` printed of a stored table."""
    import dataclasses

    from benchbox.report.views.layers import document_from_layers
    from benchbox.schema.layers import StoredLayers
    from benchbox.store.ceilings import read_ceilings
    from benchbox.store.documents import value_from_plain

    stored = value_from_plain(StoredLayers, document, origin=str(path))
    beside = path.parent.parent / "ceilings" / f"{stored.ceilings}.json"
    table = dataclasses.replace(stored.table, ceilings=read_ceilings(beside) if stored.ceilings else None)
    return document_from_layers(table, table.rows)


def _ceiling_rows(measured: Ceilings) -> Iterator[dict[str, Any]]:
    shared = {
        "id": measured.id,
        "started_at": measured.started_at,
        "device": measured.device,
        "title": measured.title,
        "env": measured.epoch,
        "quick": measured.quick,
    }
    for rate in measured.compute:
        yield {
            **shared, "of": "compute", "precision": rate.precision.value, "pace": rate.kind.value, "level": None,
            "threads": rate.threads, "value": rate.flops_per_s, "low": rate.low, "high": rate.high, "unit": "FLOP/s",
            "n": rate.n, "library": rate.library, "version": rate.version,
        }  # fmt: skip
    for speed in measured.bandwidth:
        yield {
            **shared, "of": "bandwidth", "precision": None, "pace": None, "level": speed.level.value,
            "threads": speed.threads, "value": speed.bytes_per_s, "low": speed.low, "high": speed.high, "unit": "B/s",
            "n": speed.n, "library": speed.library, "version": speed.version,
        }  # fmt: skip


def _frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(columns))
    if "started_at" in columns:
        frame["started_at"] = pd.to_datetime(frame["started_at"], utc=True)
    return frame.astype(dict(columns))


def _settle(errors: Sequence[StoreError], *, found: bool) -> None:
    """Raises where nothing could be read, else warns of each error."""
    if errors and not found:
        raise errors[0]
    for error in errors:
        _warn(f"skipped: {error.what}: {error.values}")


def _warn(text: str) -> None:
    warnings.warn(text.removeprefix("warning: "), stacklevel=3)
