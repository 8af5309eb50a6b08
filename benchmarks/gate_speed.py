"""How long does ``benchbox gate`` take over many stored nights?

Writes records as a run of lenet5 stores them, of 112 cases over 90 nights, judges them, and prints the CPU time,
without the start of Python. Target: 3 s for 10,000 records.
"""

from __future__ import annotations

import dataclasses
import datetime
import tempfile
import time
from pathlib import Path

import numpy as np

from benchbox.jobs.gate import judge_stored
from benchbox.schema.reading import Reading
from benchbox.schema.record import Record
from benchbox.store.records import append, read_record

CASES, NIGHTS = 112, 90
STORED = Path(__file__).parents[1] / "tests" / "golden" / "records" / "record_v1_run.parquet"


def as_measured(record: Record, case: int, night: int, factor: float) -> Record:
    """The record as another network's of another night, its times so many times as long."""
    at = datetime.datetime(2026, 1, 1, 2, 17, tzinfo=datetime.UTC) + datetime.timedelta(days=night, seconds=case)

    def longer(reading: Reading) -> Reading:
        ends = [None if end is None else end * factor for end in (reading.low, reading.high)]
        return dataclasses.replace(reading, value=reading.value * factor, low=ends[0], high=ends[1])

    return dataclasses.replace(
        record,
        id=f"{at:%Y%m%dT%H%M%SZ}-{case:08d}",
        started_at=at.isoformat(),
        key=dataclasses.replace(record.key, model=f"net{case}"),
        readings=tuple(longer(reading) if reading.unit == "s" else reading for reading in record.readings),
        flags=(),
    )


def main() -> None:
    """Prints the time."""
    record, rng = read_record(STORED), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for case in range(CASES):
            for night, factor in enumerate(np.exp(0.005 * rng.standard_normal(NIGHTS))):
                append(root, as_measured(record, case, night, float(factor)), ())
        begin = time.process_time()
        judged = judge_stored(root, policy_file=None, against=None, night=None, where=(), warn=print)
        spent = time.process_time() - begin
    count = len(judged.records)
    print(f"{count} records: {spent:.2f} s of CPU (target 3 s for 10,000)")


if __name__ == "__main__":
    main()
