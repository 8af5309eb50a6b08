"""Is the head faster or slower than the base, and may the question be asked at all?

The process is the unit: one value per process goes in, never the iterations of one. A claim needs the whole interval
of the ratio on one side of the least effect of interest; the same needs all of it inside (equivalence, Schuirmann
1987); whatever lies across is inconclusive. Numbers from different environments are not compared, and a claim that
the machine's own speed may explain is not made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchbox.measure.metric import METRICS, Metric, Workload
from benchbox.measure.metrics.device_times import CYCLES
from benchbox.measure.metrics.reference import REFERENCES
from benchbox.measure.modes import workload_of
from benchbox.measure.reference import ARITHMETIC, SHIFTED
from benchbox.schema.environment import Environment
from benchbox.schema.plan import Mode
from benchbox.schema.reading import Better, Pass, Severity, Trial
from benchbox.schema.record import Record, RecordKey, Status
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.stats.rank import minimum_detectable_effect, rank_test, ratio_interval

SIGNIFICANCE = 0.05
# Least effects of interest: a machine shared with others moves by a few percent from day to day, a GPU by less.
CPU_EFFECT, GPU_EFFECT = 0.05, 0.02
# Times that a GPU's clock moves, and by how much it must have differed before cycles are asked.
_CLOCKED = ("gpu_time", "latency", "throughput", "trtexec")
CLOCK_EFFECT = 0.01
# Of software, what every machine has: without it a record is older than the field. The rest are packages.
_ALWAYS_NOTED = frozenset({"benchbox", "python", "kernel", "os", "libc"})
# Of a plan, what makes two numbers answers to different questions.
_ALIKE = ("threads", "group", "streams", "transfer", "wait", "like", "rate_per_s", "latency_bound_s")
_WORST_FIRST = (Outcome.SLOWER, Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE, Outcome.FASTER, Outcome.SAME)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A stored record and its raw trials."""

    record: Record
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How to judge.

    ``effect`` is the least ratio minus 1 that matters, None for the device's default; ``across_environments``
    compares what environments would forbid.
    """

    metrics: tuple[str, ...] = ("latency_p50",)
    effect: float | None = None
    across_environments: bool = False


def verdicts_from_measured(base: Iterable[Measured], head: Iterable[Measured], rules: Rules) -> tuple[Verdict, ...]:
    """A verdict for every case on either side and every metric, in the order of the base, then of the head.

    Several records of a case on one side are replicates if their environments are equal; otherwise the newest counts.
    """
    sides = [_by_case(side) for side in (base, head)]
    keys = dict.fromkeys([*sides[0], *sides[1]])
    return tuple(
        _verdict(key, METRICS.get(metric), sides[0].get(key, ()), sides[1].get(key, ()), rules)
        for key in keys
        for metric in rules.metrics
    )


def verdict_between(base: Measured, head: Measured, metric: str, rules: Rules) -> Verdict:
    """One record against another, whatever differs between them: it is what the question is about.

    The verdict's key is the head's.
    """
    return _verdict(head.record.key, METRICS.get(metric), (base,), (head,), rules, alike=False)


def overall(verdicts: Sequence[Verdict]) -> Outcome:
    """The one word for all of them: slower if any is, then what could not be judged, then faster, then same."""
    found = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in _WORST_FIRST if outcome in found), Outcome.INCOMPARABLE)


def _by_case(side: Iterable[Measured]) -> dict[RecordKey, tuple[Measured, ...]]:
    cases: dict[RecordKey, list[Measured]] = {}
    for measured in side:
        cases.setdefault(measured.record.key, []).append(measured)
    return {key: _replicates(records) for key, records in cases.items()}


def _replicates(records: list[Measured]) -> tuple[Measured, ...]:
    usable = [entry for entry in records if entry.record.status is Status.OK] or records
    newest = max(usable, key=lambda entry: entry.record.started_at)
    return tuple(entry for entry in usable if entry.record.environment.hash == newest.record.environment.hash)


def _verdict(
    key: RecordKey,
    metric: Metric,
    base: Sequence[Measured],
    head: Sequence[Measured],
    rules: Rules,
    *,
    alike: bool = True,
) -> Verdict:
    obstacle = _obstacle(base, head, rules, alike=alike)
    if obstacle:
        return Verdict(key=key, metric=metric.name, outcome=Outcome.INCOMPARABLE, reason=obstacle)
    values = [_values(side, metric) for side in (base, head)]
    if not all(values):
        missing = "base" if not values[0] else "head"
        return Verdict(
            key=key,
            metric=metric.name,
            outcome=Outcome.INCOMPARABLE,
            reason=f"the {missing} has no {metric.name}" + _instead(key, metric),
        )
    if min(map(min, values)) <= 0:
        reason = f"{metric.name} is 0 in a process: there is no ratio"
        return Verdict(key=key, metric=metric.name, outcome=Outcome.INCOMPARABLE, reason=reason)
    effect = rules.effect if rules.effect is not None else GPU_EFFECT if key.device.startswith("cuda") else CPU_EFFECT
    ratio, low, high = ratio_interval(*values)
    outcome, reason = _judged(metric, low, high, rank_test(*values), effect)
    if outcome is not Outcome.INCONCLUSIVE and (doubt := _doubt(base, head, metric, outcome, effect, alike=alike)):
        outcome, reason = Outcome.INCONCLUSIVE, doubt
    if flags := _flags_about(metric, [*base, *head], Severity.ERROR):
        outcome, reason = Outcome.INCONCLUSIVE, f"flagged as invalid: {', '.join(flags)}"
    if warnings := _flags_about(metric, [*base, *head], Severity.WARNING):
        reason += f"; warnings: {', '.join(warnings)}"
    return Verdict(
        key=key,
        metric=metric.name,
        outcome=outcome,
        ratio=ratio,
        low=low,
        high=high,
        mde=minimum_detectable_effect(*values),
        n_base=len(values[0]),
        n_head=len(values[1]),
        reason=reason,
    )


def _instead(key: RecordKey, metric: Metric) -> str:
    """What to compare of a mode in which no sample has a time of its own."""
    timeless = key.mode is Mode.OFFLINE and metric.name.startswith("latency")
    return ": in mode offline compare throughput (--metric)" if timeless else ""


def _judged(
    metric: Metric, low: float | None, high: float | None, p_value: float, effect: float
) -> tuple[Outcome, str]:
    if low is None or high is None:
        return Outcome.INCONCLUSIVE, "too few processes for a 95 % interval: at least 4 a side (--trials)"
    ceiling, floor = 1 + effect, 1 / (1 + effect)
    if low > ceiling or high < floor:
        if p_value >= SIGNIFICANCE:
            return Outcome.INCONCLUSIVE, f"the rank test does not confirm it (p = {p_value:.2g})"
        worse = (low > ceiling) is (metric.better is Better.LOWER)
        return (Outcome.SLOWER if worse else Outcome.FASTER), f"beyond {effect:.0%}, rank test p = {p_value:.2g}"
    if low >= floor and high <= ceiling:
        return Outcome.SAME, f"the whole interval lies within {effect:.0%}"
    return Outcome.INCONCLUSIVE, f"the interval lies across {effect:.0%}: more processes (--trials)"


def _doubt(
    base: Sequence[Measured], head: Sequence[Measured], metric: Metric, outcome: Outcome, effect: float, *, alike: bool
) -> str:
    """What the machine under both sides did that may stand behind an outcome; empty where nothing did."""
    if metric.purpose is not Pass.TIMING or metric.name in {*REFERENCES.values(), CYCLES}:
        return ""
    doubts = [_speed_doubt(base, head, outcome, effect)] if alike else []
    doubts += [_clock_doubt(base, head, outcome, effect)] if metric.name.startswith(_CLOCKED) else []
    return next(filter(None, doubts), "")


def _speed_doubt(base: Sequence[Measured], head: Sequence[Measured], outcome: Outcome, effect: float) -> str:
    """Whether what was timed beside the network was faster on one side too, in the direction of the outcome.

    Both sides of ``run --ab`` meet the same machine, and may have different numbers of threads: they are not asked.
    """
    for kind, name in REFERENCES.items():
        references = [_values(side, METRICS.get(name)) for side in (base, head)]
        if not all(references):
            continue
        ratio = ratio_interval(*references)[0]
        # An inference is mostly arithmetic, and hands over a little: what counts as another machine differs.
        limit = 1 + effect if kind == ARITHMETIC else SHIFTED[kind]
        slower, faster = ratio > limit, ratio < 1 / limit
        if {Outcome.SLOWER: slower, Outcome.FASTER: faster, Outcome.SAME: slower or faster}[outcome]:
            return (
                f"{outcome} by the numbers, but the machine was another: in the head its {kind} took {ratio:.3f} times "
                f"as long ({name}); measure both in one run (run --ab)"
            )
    return ""


def _clock_doubt(base: Sequence[Measured], head: Sequence[Measured], outcome: Outcome, effect: float) -> str:
    """Whether a GPU whose clock was free, and another on either side, says something else in cycles than in time."""
    if all(entry.record.plan.locked_clocks for entry in (*base, *head)):
        return ""
    cycles, times = ([_values(side, METRICS.get(name)) for side in (base, head)] for name in (CYCLES, "gpu_time_p50"))
    if not (all(cycles) and all(times)):
        return ""
    ratio, low, high = ratio_interval(*cycles)
    clock = ratio / ratio_interval(*times)[0]
    by_cycles, _ = _judged(METRICS.get(CYCLES), low, high, rank_test(*cycles), effect)
    if by_cycles is outcome or 1 / (1 + CLOCK_EFFECT) <= clock <= 1 + CLOCK_EFFECT:
        return ""
    return (
        f"{outcome} in time, {by_cycles} in cycles ({ratio:.3f}): the GPU's clock was {clock:.3f} times as high in the "
        "head; hold it (--lock-clocks), or measure both in one run (run --ab)"
    )


def _values(side: Sequence[Measured], metric: Metric) -> list[float]:
    """One value per process."""
    return [
        metric.value(trial, _workload(entry.record))
        for entry in side
        for trial in entry.trials
        if trial.purpose is metric.purpose and metric.applies(trial)
    ]


def _workload(record: Record) -> Workload:
    return workload_of(record.plan, flops=record.analytic.flops if record.analytic else 0)


def _flags_about(metric: Metric, entries: Sequence[Measured], severity: Severity) -> list[str]:
    """Codes of a severity on either side: errors void a verdict; what warnings are about is in the spread already."""
    flags = [flag for entry in entries for flag in entry.record.flags if flag.severity is severity]
    return sorted({flag.code for flag in flags if not flag.metrics or metric.name in flag.metrics})


def _obstacle(base: Sequence[Measured], head: Sequence[Measured], rules: Rules, *, alike: bool) -> str:
    """Why two sides may not be compared, empty where they may; ``alike`` asks for one way of measuring."""
    for name, side, other in (("base", base, "head"), ("head", head, "base")):
        if not side:
            return f"only the {other} has it"
        if side[0].record.status is not Status.OK:
            return f"the {name} is {side[0].record.status}: {side[0].record.reason}"
    one, two = base[0].record, head[0].record
    for name in _ALIKE if alike else ():
        if getattr(one.plan, name) != getattr(two.plan, name):
            return f"{name} differ: {getattr(one.plan, name)} and {getattr(two.plan, name)}"
    if one.environment.hash == two.environment.hash or rules.across_environments:
        return ""
    return environments_apart(one.environment, two.environment)


def environments_apart(base: Environment, head: Environment) -> str:
    """In which fields two environments of different hash differ.

    What one side did not note is told apart from what differs: older records, and GPUs that do not tell, have fewer
    fields.
    """
    differing: list[str] = []
    unnoted: dict[str, list[str]] = {"base": [], "head": []}
    for left, right in ((base.hardware, head.hardware), (base.software, head.software)):
        for name in sorted({*left, *right}):
            lacking = "base" if name not in left else "head" if name not in right else ""
            absent = _absence(name) if left is base.software else ""
            if lacking and not absent:
                unnoted[lacking].append(name)
            elif left.get(name) != right.get(name):
                texts = [repr(side[name]) if name in side else absent for side in (left, right)]
                differing.append(f"{name} {texts[0]} and {texts[1]}")
    parts = [*differing]
    for side, names in unnoted.items():
        if names:
            parts.append(f"the {side} did not note {', '.join(names)}")
    if not differing and parts:
        parts.append("what both noted is equal (--across-environments compares)")
    return f"environments differ: {'; '.join(parts) or 'hash'}"


def _absence(name: str) -> str:
    """What it means that software lacks a field; "" where it only was not noted."""
    if name.startswith("env "):
        return "not set"
    return "" if name in _ALWAYS_NOTED else "not installed"
