"""What does a store of very many records cost? ``python benchmarks/many_records.py [RECORDS ...] --under FOLDER``.

Synthetic records: a measured one of the golden files under other names, times and dates, written into parts by the
code of ``benchbox store compact``, with as many rows as real ones have but without the raw samples, which none of the
questions reads. For each number of records, in a process of its own, printed are the seconds from
the start of the process and the largest resident set of: one series (``benchbox history``), the front of one machine
(``benchbox choose``), and a table of one network (``benchbox report``). Targets at a million: 1 s, 5 s, 1 GB. What a
larger store costs follows from how these grow. The folder is emptied afterwards.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchbox.schema.model import Precision
from benchbox.schema.record import Record
from benchbox.store.documents import document_from_record
from benchbox.store.parts.compacted import FOLDER, PartEntry
from benchbox.store.parts.compacting import swap_manifest
from benchbox.store.parts.part_draft import PartDraft, PartRow, digest_of
from benchbox.store.records import read_record
from benchbox.store.selection import texts_of

STORED = Path(__file__).parents[1] / "tests" / "golden" / "records" / "record_v1_run.parquet"
MACHINES, BACKENDS, PRECISIONS, BATCHES = 100, ("onnxruntime", "openvino"), (Precision.FP32, Precision.INT8), (1, 8)
# Nights that a case is measured on, of a year; the number of networks follows from the number of records.
NIGHTS = 25
# As many as real records fill a part with, at 5.3 kB each.
PART_ROWS = 90_000


def case_of(record: Record, model: int, backend: str, precision: Precision, batch: int, machine: int) -> Record:
    """The record as another case's on another machine."""
    hardware = {**record.environment.hardware, "cpu": f"processor {machine}"}
    environment = dataclasses.replace(record.environment, hash=f"{machine:012x}", hardware=hardware)
    key = dataclasses.replace(
        record.key, model=f"net{model:04d}", backend=backend, precision=precision, batch=batch, device="cpu"
    )
    return dataclasses.replace(record, key=key, environment=environment, onnx_sha256=f"{model:064x}")


def rows_of_case(record: Record, drawn: random.Random) -> list[PartRow]:
    """A record a night. Texts of one length are exchanged in the bytes of one record: ids, days, times."""
    document = json.dumps(document_from_record(record), allow_nan=False).encode()
    texts, begin = texts_of(record), datetime.datetime(2026, 1, 1, 2, 17, tzinfo=datetime.UTC)
    latency = next(reading.value for reading in record.readings if reading.metric == "latency_p50")
    content, digest = b"", digest_of(b"")
    old_value = json.dumps(latency).encode()
    rows = []
    for night in range(NIGHTS):
        at = begin + datetime.timedelta(days=night * 365 // NIGHTS, seconds=drawn.randrange(80_000))
        name = f"{at:%Y%m%dT%H%M%SZ}-{drawn.getrandbits(32):08x}"
        value = f"{latency * drawn.gauss(1, 0.01):.{len(old_value)}f}"[: len(old_value)].encode()
        exchanged = {record.id.encode(): name.encode(), record.started_at.encode(): at.isoformat().encode()}
        new_document = document.replace(old_value, value)
        for old, new in exchanged.items():
            new_document = new_document.replace(old, new)
        rows.append(
            PartRow(
                texts={**texts, "id": name, "started_at": at.isoformat()},
                document=new_document,
                content=content,
                digest=digest,
            )
        )
    return rows


def fill(root: Path, count: int) -> tuple[PartEntry, ...]:
    """Writes so many records into parts, sorted as a compaction sorts them."""
    template, drawn = read_record(STORED), random.Random(0)
    started = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    template = dataclasses.replace(template, started_at=started.isoformat(), flags=())
    folder = root / FOLDER
    folder.mkdir(parents=True)
    entries: list[PartEntry] = []
    draft, written = PartDraft(folder), 0
    kinds = itertools.product(range(count), BACKENDS, PRECISIONS, BATCHES)
    for model, backend, precision, batch in kinds:
        rows: list[PartRow] = []
        for machine in range(MACHINES):
            record = case_of(template, model, backend, precision, batch, machine)
            rows += rows_of_case(record, drawn)
        for row in sorted(rows, key=lambda row: row.texts["started_at"])[: count - written]:
            draft.add(row)
            written += 1
            if written % PART_ROWS == 0:
                entries.append(draft.finished())
                draft = PartDraft(folder)
        if written >= count:
            break
    if written % PART_ROWS:
        entries.append(draft.finished())
    else:
        draft.__exit__(None, None, None)
    swap_manifest(folder, entries)
    return tuple(entries)


def spent(*words: str) -> tuple[float, float, float]:
    """Processor seconds of a command, its wall seconds, and the largest resident set in MB."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "benchbox", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in {0, 7, 9}:
        raise SystemExit(f"{' '.join(words)}: exit status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin, usage.ru_maxrss / 1024


def main() -> None:
    """Prints a line for each number of records and question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("records", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--under", type=Path, required=True, help="a folder for the synthetic records")
    parser.add_argument("--fill", action="store_true", help="only write them")
    chosen = parser.parse_args()
    for count in chosen.records:
        root = chosen.under / f"{count}-records"
        if chosen.fill:
            entries = fill(root, count)
            print(f"{count} records: {len(entries)} parts, {sum(entry.size_bytes for entry in entries) / 1e6:.0f} MB")
            continue
        try:
            # In another process: what is resident in this one counts for the commands that it starts.
            words = [sys.executable, __file__, "--fill", str(count), "--under", str(chosen.under)]
            subprocess.run(words, check=True)
            ask(root)
        finally:
            shutil.rmtree(root, ignore_errors=True)


def ask(root: Path) -> None:
    """Prints what each question costs: the least of three times."""
    machine = f"env={MACHINES // 2:012x}"
    series = ("backend=onnxruntime", "precision=int8", "batch=8", machine)
    questions = {
        "one series": ("history", "net0000", *(word for key in series for word in ("--where", key))),
        "front of one machine": ("choose", "--latency", "<= 50 ms", "--where", machine),
        "table of one network on one machine": ("report", "--where", "model=net0000", "--where", machine),
        "nothing but the start": ("models",),
    }
    for name, words in questions.items():
        runs = [spent(*words, *(("--root", str(root)) if words != ("models",) else ())) for _ in range(3)]
        processor, wall, memory = min(runs)
        print(f"  {name}: {processor:.2f} s of processor time, {wall:.2f} s, {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
