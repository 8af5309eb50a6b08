"""What is the most that is moved at each level of memory: by numpy in threads, and by the backends' Add and Relu?"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.export.one_operator import moved_bytes, stream_artifact
from benchbox.flags.seen import flag
from benchbox.measure.ceilings.compute import version_of
from benchbox.measure.ceilings.effort import Effort
from benchbox.measure.ceilings.native import StreamRates, StreamRequest
from benchbox.measure.ceilings.pace import timed_from_trial
from benchbox.measure.process.trials import TrialRequest, run_trial, run_worker
from benchbox.models.one_operator import operator_source
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.device import BandwidthCeiling, Level, Pace
from benchbox.schema.model import Precision
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Pass

# Without stores that pass the caches by a copy really moves half as much again: kernels that differ by more than that
# do not move what is counted.
MOST_DISAGREEMENT = 1.5


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A library's kernel over a working set of all threads."""

    library: str
    kernel: str
    bytes: int
    level: Level
    threads: int


def numpy_rates(streams: Sequence[Stream], *, seconds: float) -> tuple[dict[Stream, float], str]:
    """Bytes per second of numpy's streams in one process, all of one number of threads; and numpy's version.

    Raises what ``run_worker`` does.
    """
    answer = run_worker(
        StreamRequest(
            passes=tuple((stream.kernel, stream.bytes) for stream in streams),
            threads=streams[0].threads,
            each_s=seconds,
        )
    )
    assert isinstance(answer, StreamRates), "a worker answers streams with their rates"
    return {stream: answer.rates[stream.kernel, stream.bytes] for stream in streams}, answer.version


class StreamBench:
    """Times a backend's Add or Relu in one process each; files lie in ``root``, ``before`` is told what comes next."""

    def __init__(self, root: Path, effort: Effort, *, before: Callable[[str], None]) -> None:
        self._root = root
        self._effort = effort
        self._before = before
        self._artifacts: dict[tuple[str, int], OnnxArtifact] = {}

    def rates(self, streams: Sequence[Stream], *, least: float) -> tuple[dict[Stream, list[float]], dict[str, str]]:
        """Bytes per second of each, and the versions of their libraries; what cannot run is left out.

        The best is repeated in as many processes as a ceiling has, where one process brought ``least`` at least: what
        is slower will be no ceiling.
        """
        found: dict[Stream, list[float]] = {}
        versions: dict[str, str] = {}
        for stream in streams:
            if (answer := self._rate(stream)) is not None:
                found[stream], versions[stream.library] = [answer[0]], answer[1]
        best = max(found, key=lambda stream: found[stream][0], default=None)
        if best is not None and found[best][0] >= least:
            again = (self._rate(best) for _ in range(self._effort.processes - 1))
            found[best] += [answer[0] for answer in again if answer is not None]
        return found, versions

    def _rate(self, stream: Stream) -> tuple[float, str] | None:
        """Bytes per second, sustained, and the library's version; None where the backend cannot run it."""
        self._before(f"{stream.library} {stream.kernel} {stream.bytes >> 20} MiB")
        key = (stream.kernel, stream.bytes)
        if key not in self._artifacts:
            self._artifacts[key] = stream_artifact(self._root, stream.kernel, stream.bytes)
        artifact = self._artifacts[key]
        try:
            trial = run_trial(
                TrialRequest(
                    pass_=Pass.TIMING,
                    number=0,
                    backend=stream.library,
                    precision=Precision.FP32,
                    plan=self._effort.plan(stream.threads),
                    artifact=artifact,
                    source=operator_source(stream.kernel, artifact.model),
                    root=self._root,
                )
            )
        except BenchboxError:
            return None
        seconds = timed_from_trial(trial).seconds(Pace.SUSTAINED)
        return moved_bytes(artifact) / seconds, version_of(trial)


def bandwidths_of(rates: Mapping[Stream, Sequence[float]], versions: Mapping[str, str]) -> tuple[BandwidthCeiling, ...]:
    """The stream with the highest median of each level and number of threads, levels nearest to the cores first.

    One that was looked at once competes only where none of its level was repeated: the best of many single values is a
    lucky one, which no later measurement finds again.
    """
    best: dict[tuple[int, Level], Stream] = {}
    for stream in rates:
        key = (stream.threads, stream.level)
        if key not in best or _ranked(rates[stream]) > _ranked(rates[best[key]]):
            best[key] = stream
    order = list(Level)
    ranked = sorted(best.values(), key=lambda stream: (-stream.threads, order.index(stream.level)))
    return tuple(
        BandwidthCeiling(
            level=stream.level,
            threads=stream.threads,
            bytes_per_s=statistics.median(rates[stream]),
            low=min(rates[stream]),
            high=max(rates[stream]),
            library=stream.library,
            version=versions.get(stream.library, ""),
            kernel=stream.kernel,
            bytes=stream.bytes,
            n=len(rates[stream]),
        )
        for stream in ranked
    )


def _ranked(values: Sequence[float]) -> tuple[bool, float]:
    return len(values) > 1, statistics.median(values)


def traffic_flags(rates: Mapping[Stream, Sequence[float]]) -> tuple[Flag, ...]:
    """Whether numpy's kernels agree on main memory, as they must if what is counted is what moves."""
    flags = []
    for threads in sorted({stream.threads for stream in rates}):
        medians = [
            statistics.median(values)
            for stream, values in rates.items()
            if stream.library == "numpy" and stream.level is Level.DRAM and stream.threads == threads
        ]
        if len(medians) > 1 and max(medians) > MOST_DISAGREEMENT * min(medians):
            flags.append(
                flag(
                    "TRAFFIC_UNCERTAIN",
                    Severity.WARNING,
                    f"kernels differ {max(medians) / min(medians):.2f} times in main memory with {threads} threads: "
                    "more bytes move than are counted, or the machine is busy",
                    size=max(medians) / min(medians),
                )
            )
    return tuple(flags)
