"""What does a store of very many records cost? ``python benchmarks/many_records.py [RECORDS ...] --under FOLDER``.

Synthetic records, each another one: a measured one of the golden files with other names, ids, times and values, and
with raw samples, of which there are some hundred sets for each kind of case. They are written into parts by the code of
``benchbox store compact``. For each number of records, in a process of its own, printed are the seconds from the start
of the process and the largest resident set of: one series (``benchbox history``), the front of one machine
(``benchbox choose``), and a table of one network (``benchbox report``). Targets at a million: 1 s, 5 s, 1 GB. What a
larger store costs follows from how these grow, and from fewer machines: a million records of ten machines have as many
records for each as ten million of a hundred (``--machines 10``). As raw samples repeat, a million records take 0.4 GB,
not 6; the folder is emptied afterwards.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchbox.schema.model import Precision
from benchbox.schema.record import Record
from benchbox.schema.trial import Trial
from benchbox.store.documents import document_from_record
from benchbox.store.parts.compacted import FOLDER, PartEntry
from benchbox.store.parts.compacting import swap_manifest
from benchbox.store.parts.part_draft import PartDraft, PartRow, digest_of
from benchbox.store.records import append, read_record, trials_from_file
from benchbox.store.selection import texts_of

STORED = Path(__file__).parents[1] / "tests" / "golden" / "records" / "record_v1_run.parquet"
BACKENDS, PRECISIONS, BATCHES = ("onnxruntime", "openvino"), (Precision.FP32, Precision.INT8), (1, 8)
# Nights that a case is measured on, of a year; the number of networks follows from the number of records.
NIGHTS = 25
# As many as real ones, at 5.3 kB each, fill a part of 480 MB with.
PART_ROWS = 90_000
SAMPLE_SETS = 250
BEGIN = datetime.datetime(2026, 1, 1, 2, 17, tzinfo=datetime.UTC)
# What is exchanged for what distinguishes a record.
MODEL, HASH, MACHINE, NETWORK = b"net####", b"hash########", b"processor ###", b"network#".ljust(64, b"#")


@dataclasses.dataclass(frozen=True)
class Template:
    """A record of a kind of case: its JSON, and the bytes of its file with raw samples, which hold the same JSON."""

    record: Record
    texts: Mapping[str, str]
    document: bytes
    content: bytes


def templates_of(record: Record, trials: Sequence[Trial], drawn: random.Random) -> tuple[Template, ...]:
    """The same record with other raw samples each time."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(SAMPLE_SETS):
            varied = [
                dataclasses.replace(
                    trial, samples_ns=tuple(round(sample * drawn.gauss(1, 0.01)) for sample in trial.samples_ns)
                )
                for trial in trials
            ]
            content = append(Path(folder) / str(number), record, varied).read_bytes()
            document = json.dumps(document_from_record(record), allow_nan=False).encode()
            assert content.count(document) == 1, "the file holds the record's JSON as it is"
            found.append(Template(record=record, texts=texts_of(record), document=document, content=content))
    return tuple(found)


def kinds() -> Iterator[tuple[Template, ...]]:
    """The templates of every kind of case. What distinguishes records has one length in all of them."""
    stored, drawn = read_record(STORED), random.Random(0)
    trials = trials_from_file(STORED, stored)
    hardware = {**stored.environment.hardware, "cpu": MACHINE.decode()}
    environment = dataclasses.replace(stored.environment, hash=HASH.decode(), hardware=hardware)
    started = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).isoformat()
    common = dataclasses.replace(
        stored, environment=environment, started_at=started, flags=(), onnx_sha256=NETWORK.decode()
    )
    for backend, precision, batch in itertools.product(BACKENDS, PRECISIONS, BATCHES):
        key = dataclasses.replace(
            stored.key, model=MODEL.decode(), backend=backend, precision=precision, batch=batch, device="cpu"
        )
        yield templates_of(dataclasses.replace(common, key=key), trials, drawn)


def row_of(template: Template, model: int, machine: int, night: int, drawn: random.Random) -> PartRow:
    """A record of a night: texts of one length are exchanged in the bytes of the template."""
    record = template.record
    at = BEGIN + datetime.timedelta(days=night * 365 // NIGHTS, seconds=drawn.randrange(80_000))
    name = f"{at:%Y%m%dT%H%M%SZ}-{drawn.getrandbits(32):08x}"
    latency = next(reading.value for reading in record.readings if reading.metric == "latency_p50")
    old_value = json.dumps(latency).encode()
    value = f"{latency * drawn.gauss(1, 0.01):.{len(old_value)}f}"[: len(old_value)].encode()
    texts = {"model": f"net{model:04d}", "env": f"{machine:012x}", "onnx_sha256": f"{model:064x}"}
    texts |= {"id": name, "started_at": at.isoformat()}
    exchanged = {
        MODEL: texts["model"].encode(),
        HASH: texts["env"].encode(),
        MACHINE: f"processor {machine:03d}".encode(),
        NETWORK: texts["onnx_sha256"].encode(),
        record.id.encode(): name.encode(),
        record.started_at.encode(): texts["started_at"].encode(),
        old_value: value,
    }
    document = template.document
    for old, new in exchanged.items():
        assert len(old) == len(new), f"{old!r} and {new!r}"
        document = document.replace(old, new)
    content = template.content.replace(template.document, document)
    return PartRow(texts={**template.texts, **texts}, document=document, content=content, digest=digest_of(content))


def fill(root: Path, count: int, machines: int) -> tuple[PartEntry, ...]:
    """Writes so many records into parts, sorted as a compaction sorts them."""
    drawn = random.Random(1)
    folder = root / FOLDER
    folder.mkdir(parents=True)
    entries: list[PartEntry] = []
    draft, written = PartDraft(folder), 0
    templates = tuple(kinds())
    cases = math.ceil(count / (machines * NIGHTS))
    endless = ((model, kind) for model in itertools.count() for kind in templates)
    pairs = list(itertools.islice(endless, cases))
    for machine, (model, kind) in itertools.product(range(machines), pairs):
        rows = [
            row_of(kind[(machine * NIGHTS + night) % len(kind)], model, machine, night, drawn)
            for night in range(NIGHTS)
        ]
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
    parser.add_argument("--machines", type=int, default=100, help="[default: 100]")
    parser.add_argument("--fill", action="store_true", help="only write them")
    chosen = parser.parse_args()
    for count in chosen.records:
        root = chosen.under / f"{count}-records"
        if chosen.fill:
            entries = fill(root, count, chosen.machines)
            print(f"{count} records: {len(entries)} parts, {sum(entry.size_bytes for entry in entries) / 1e6:.0f} MB")
            continue
        try:
            # In another process: what is resident in this one counts for the commands that it starts.
            words = [sys.executable, __file__, "--fill", str(count), "--under", str(chosen.under)]
            subprocess.run([*words, "--machines", str(chosen.machines)], check=True)
            ask(root, chosen.machines)
        finally:
            shutil.rmtree(root, ignore_errors=True)


def ask(root: Path, machines: int) -> None:
    """Prints what each question costs: the least of three times."""
    machine = f"env={machines // 2:012x}"
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
