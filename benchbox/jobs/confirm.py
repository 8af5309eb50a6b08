"""How is what a night flagged measured again, base and head in turn?

Only what was flagged: rows that may turn the night red, on metrics of timed processes, the largest first. Each case is
a ``benchbox run --ab`` in a process of its own, with the base's network as it was kept and tonight's; its records go to
a root of their own, ``results/again/``, where no night will find them. What comes out is stored beside the records
(``gate/again.py``): judging stays a function of what is stored.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbox.backends.base import BACKENDS
from benchbox.backends.child import child_environment
from benchbox.errors import ArtifactError, BenchboxError, MeasurementError
from benchbox.gate.again import BRIDGE, Remeasured, write_remeasured
from benchbox.gate.comparable import Measured, networks_apart
from benchbox.gate.night import Finding, LayerShift, Qualifier, Tier
from benchbox.gate.policy import Confirm, Policy
from benchbox.gate.series import CaseSeries, case_series
from benchbox.gate.tonight import ANCHOR, ROLLING, rule_for
from benchbox.gate.values import round_of
from benchbox.jobs.cases import takes_turns
from benchbox.jobs.gate import Judged
from benchbox.metrics.metric import METRICS
from benchbox.report.case_options import options_of
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.identity import network_of
from benchbox.schema.plan import BASE_CLOCKS, Mode, PairOrder
from benchbox.schema.reading import Better
from benchbox.schema.record import Record, Status
from benchbox.schema.trial import Pass
from benchbox.schema.verdict import Outcome
from benchbox.stats.again import Round
from benchbox.store.kept import Kept, find_kept, keep, known_artifacts
from benchbox.store.records import read_record, record_files_of, trials_from_file

ROOT = Path("results") / "again"
# Networks stay runnable for as many nights again as make a level.
_KEPT_LEVELS = 2
MOST_LAYERS = 5


@dataclass(frozen=True)
class Sides:
    """The Pythons of base and head, "" for this one."""

    base: str = ""
    head: str = ""

    @classmethod
    def named(cls, base: str, head: str) -> Sides:
        """As somebody names them here: paths from this folder, whichever one measures; else commands.

        Links stay what they are: an environment's Python is known by its own path.
        """
        return cls(*(str(Path(text).absolute()) if os.sep in text else text for text in (base, head)))


@dataclass(frozen=True, kw_only=True)
class Task:
    """A case to measure again: its rows, the two records whose networks are measured, and the two files."""

    name: str
    rows: tuple[Finding, ...]
    base: Record
    head: Record
    base_file: Kept
    head_file: Kept


MeasureInTurn = Callable[[Path, Task, Sides, Confirm], tuple[Measured, Measured]]
Profile = Callable[[Path, Task], tuple[LayerShift, ...]]


def confirm_night(
    root: Path,
    judged: Judged,
    *,
    sides: Sides | None,
    say: Callable[[str], None],
    measure: MeasureInTurn | None = None,
    profile: Profile | None = None,
) -> int:
    """Measures again what the night's judgement flagged, stores it, and returns how many cases were measured.

    Args:
        root: project root.
        judged: the night.
        sides: Pythons with the software before and after; None for this one on both sides.
        say: receives a line per case.
        measure: measures a task; ``measured_in_turn`` unless a test says otherwise.
        profile: gives the layers of a confirmed one that changed most; ``layers_side_by_side`` likewise.
    """
    measure, profile = measure or measured_in_turn, profile or layers_side_by_side
    cases = flagged_rows(judged, bridges=sides is not None)
    series = {case.name: case for case in case_series(judged.records, night_starts=judged.policy.night_starts)}
    records = {record.id: record for record in judged.records}
    known, count = _at_hand(root), 0
    flagged = sum(len(rows) for rows in cases.values())
    for place, ((name, _), rows) in enumerate(cases.items()):
        made: list[Remeasured] | None = None
        if place >= judged.policy.confirm.most:
            obstacle = f"{len(cases)} cases were flagged, more than confirm.most {judged.policy.confirm.most}"
        else:
            task, obstacle = _task(root, name, rows, series[name], records, judged.report.night, known, sides)
            if task is None and not any(row.is_suspected for row in rows):
                continue  # a night that shows nothing, and nothing that could be beside it, is no news
            if task is not None:
                say(f"measuring again, base and head in turn: {name}")
                try:
                    made = _measured(root, task, sides or Sides(), judged, flagged, series[name], measure)
                    count += 1
                    if sides is None and any(_decided(entry, judged.policy, series[name]) for entry in made):
                        say(f"confirmed, taking its layers: {name}")
                        layers = profile(root, task)
                        made = [replace(entry, layers=layers) for entry in made]
                except BenchboxError as error:
                    obstacle = " ".join(f"{error.what}; {error.values}".split()).rstrip("; ")
        if made is None:
            say(f"not measured again: {name}: {obstacle}")
            made = [_blank(row, judged.report.night, flagged, obstacle) for row in rows]
        others = [entry for entry in _stored(judged, name) if entry.reference not in {one.reference for one in made}]
        write_remeasured(root, judged.report.night, name, [*others, *made])
    return count


def keep_networks(root: Path, judged: Judged) -> None:
    """Keeps tonight's networks, and those of the nights before and of the baseline, so that they can be run again."""
    from benchbox.graph.external import external_files

    nights = sorted({night for case in _series_of(judged) for night in case.nights})
    recent = set(nights[-_KEPT_LEVELS * judged.policy.rolling.nights :])
    wanted = {
        network
        for case in _series_of(judged)
        for night in recent & case.nights.keys()
        for record in case.nights[night]
        if record.status is Status.OK and (network := network_of(record))
    }
    records = {record.id: record for record in judged.records}
    levels = [
        level
        for expected in judged.baseline.values()
        for level in (*expected.levels.values(), *expected.anchors.values())
    ]
    # Where a level's records are gone, its network is known if its file holds all of it.
    wanted |= {network_of(records[entry]) or "" for level in levels for entry in level.records if entry in records}
    wanted |= {level.onnx_sha256 for level in levels if not any(entry in records for entry in level.records)}
    keep(root, wanted - {""}, _at_hand(root), files_beside=external_files)


def _at_hand(root: Path) -> dict[str, OnnxArtifact]:
    """The artifacts by their networks; not those whose external data is gone or another by now."""
    from benchbox.store.external import external_sha256

    found = {}
    for network, artifact in known_artifacts(root).items():
        with contextlib.suppress(ArtifactError, OSError):
            if artifact.weights_sha256 in (None, external_sha256(root / artifact.path)):
                found[network] = artifact
    return found


def _series_of(judged: Judged) -> tuple[CaseSeries, ...]:
    return case_series(judged.records, night_starts=judged.policy.night_starts)


def flagged_rows(judged: Judged, *, bridges: bool) -> dict[tuple[str, str], tuple[Finding, ...]]:
    """Rows that may turn the night red by time alone, by case and reference, in the order of the report: by size.

    With ``confirm.blind`` those follow that the nights cannot judge.
    """
    found: dict[tuple[str, str], list[Finding]] = {}
    for finding in judged.report.findings:
        if not _may_be_red(finding):
            continue
        if finding.verdict.outcome is Outcome.INCOMPARABLE:
            if bridges and finding.reference == ROLLING:
                found.setdefault((finding.name, BRIDGE), []).append(finding)
        elif finding.is_suspected:
            found.setdefault((finding.name, finding.reference), []).append(finding)
    if judged.policy.confirm.blind:
        for finding in judged.report.findings:
            if _may_be_red(finding) and not finding.is_suspected and Qualifier.BLIND in finding.qualifiers:
                found.setdefault((finding.name, finding.reference), []).append(finding)
    return {key: tuple(rows) for key, rows in found.items()}


def _may_be_red(finding: Finding) -> bool:
    if finding.tier is not Tier.PRIMARY or finding.reference not in {ROLLING, ANCHOR}:
        return False
    done = {Qualifier.ACKNOWLEDGED, Qualifier.CONFIRMED, Qualifier.REFUTED} & set(finding.qualifiers)
    return not done and METRICS.get(finding.verdict.metric).pass_ is Pass.TIMING


def _task(
    root: Path,
    name: str,
    rows: Sequence[Finding],
    series: CaseSeries,
    records: Mapping[str, Record],
    night: str,
    known: Any,
    sides: Sides | None,
) -> tuple[Task | None, str]:
    """What to measure, or why it cannot be."""
    head = series.measured(night)[-1]
    bridge = rows[0].verdict.outcome is Outcome.INCOMPARABLE
    if bridge:
        earlier = [one for one in sorted(series.nights) if one < night and series.measured(one)]
        base: Record | None = series.measured(earlier[-1])[-1]
        if base is not None and (apart := networks_apart(base, head)):
            return None, apart.replace(" (--across-networks compares)", "")
    else:
        base = records.get(rows[0].place.records[0])
    if base is None:
        return None, "the record of the base is not stored here"
    if BACKENDS.get(head.key.backend).consumes == "module":
        return None, f"{head.key.backend} runs modules, of which no file is kept"
    files = [find_kept(root, network_of(record) or "", known) for record in (base, base if bridge else head)]
    lacking = next((side for side, file in zip(("base", "head"), files, strict=True) if file is None), "")
    if lacking or files[0] is None or files[1] is None:
        return None, f"the network of the {lacking} is no longer kept"
    alike = network_of(base) == network_of(head) and base.engine_sha256 == head.engine_sha256
    if sides is not None and alike and sides.base == sides.head:
        return None, f"base and head are the same network by the same Python, {sides.head}"
    if sides is None and alike:
        return None, (
            "base and head are the same network in the same environment, so only the machine can have changed "
            "(--ab BASE_PYTHON HEAD_PYTHON compares two installations)"
        )
    return Task(name=name, rows=tuple(rows), base=base, head=head, base_file=files[0], head_file=files[1]), ""


def _measured(
    root: Path,
    task: Task,
    sides: Sides,
    judged: Judged,
    flagged: int,
    series: CaseSeries,
    measure: MeasureInTurn,
) -> list[Remeasured]:
    """The rows with a round, and with another one where the first does not decide."""
    entries = [_blank(row, judged.report.night, flagged, "") for row in task.rows]
    bridge = entries[0].reference == BRIDGE
    while True:
        pair = measure(root, task, sides, judged.policy.confirm)
        environments = (pair[0].record.environment.hash, pair[1].record.environment.hash)
        _require_environments(task, environments, bridge=bridge)
        entries = [
            replace(
                entry,
                rounds=(*entry.rounds, _round(pair, entry.metric)),
                base=task.base.id,
                head=task.head.id,
                environments=environments,
            )
            for entry in entries
        ]
        if all(bridge or _decided(entry, judged.policy, series) is not None for entry in entries):
            return entries


def _decided(entry: Remeasured, policy: Policy, series: CaseSeries) -> bool | None:
    """Whether it is worse, None where one more round is needed."""
    rule = rule_for(policy, series, entry.metric)
    effect = (rule.effect if rule else None) or 0.0
    found = entry.decision(
        effect=(1 + effect) ** policy.anchor.drift - 1 if entry.reference == ANCHOR else effect,
        alpha=policy.alpha,
        most=policy.rounds,
        floor=rule.least_difference if rule else 0.0,
        higher_is_worse=METRICS.get(entry.metric).better is Better.LOWER,
    )
    return found.worse if found else None


def _round(pair: tuple[Measured, Measured], metric: str) -> Round:
    found = round_of(*pair, METRICS.get(metric))
    if not found.base or not found.head or min(*found.base, *found.head) <= 0:
        raise MeasurementError(f"{metric} was not measured again", values="a side has no value of it")
    return found


def _require_environments(task: Task, found: tuple[str, str], *, bridge: bool) -> None:
    before, now = task.base.environment.hash, task.head.environment.hash
    if found[1] != now or found[0] not in ({before} if bridge else {before, now}):
        raise MeasurementError(
            "this is not the environment of the night",
            values=f"base {found[0]} and head {found[1]}, the records have {before} and {now}",
            remedy="confirm on the machine that measured, before anything is installed there",
        )


def _blank(row: Finding, night: str, flagged: int, obstacle: str) -> Remeasured:
    bridge = row.verdict.outcome is Outcome.INCOMPARABLE
    return Remeasured(
        night=night,
        name=row.name,
        metric=row.verdict.metric,
        reference=BRIDGE if bridge else row.reference,
        flagged=flagged,
        obstacle=obstacle,
    )


def _stored(judged: Judged, name: str) -> Iterator[Remeasured]:
    for key, nights in judged.again.entries.items():
        if key[0] == name and judged.report.night in nights:
            yield nights[judged.report.night]


def command_of(root: Path, task: Task, sides: Sides, confirm: Confirm) -> list[str]:
    """The command, without its interpreter, that measures a task in turn; run in the project root."""
    case, plan = task.rows[0].verdict.case, task.head.plan
    words = ["run", str(task.base_file.path), *task.base_file.options, *options_of(case)]
    if plan.locked_clocks:
        words.append(
            "--lock-clocks" + (f"={plan.locked_clocks.split()[0]}" if plan.locked_clocks != BASE_CLOCKS else "")
        )
    texts = [
        ",".join([f"model={file.path}", *([f"python={python}"] if python else [])])
        for file, python in ((task.base_file, sides.base), (task.head_file, sides.head))
    ]
    order = order_for(confirm, case.backend, case.mode)
    words += ["--ab", *texts, "--ab-order", str(order), "--trials", str(confirm.processes), "--no-memory"]
    return [*words, "--root", str(ROOT), "--json"]


def order_for(confirm: Confirm, backend: str, mode: Mode) -> PairOrder:
    """The policy's order; one after the other, A B B A, where processes of a backend cannot take turns."""
    order = PairOrder(confirm.order)
    return PairOrder.ABBA if order is PairOrder.PAIRED and not takes_turns(backend, mode) else order


def layers_side_by_side(root: Path, task: Task) -> tuple[LayerShift, ...]:
    """The layers whose time changed most between base and head, the largest change first; none where nobody can say."""
    case, found = task.rows[0].verdict.case, []
    for file in (task.base_file, task.head_file):
        words = ["layers", str(file.path), *file.options, "--backend", case.backend, "--precision", str(case.precision)]
        words += ["--batch", str(case.batch), "--threads", str(case.threads), "--format", "json", "--root", str(ROOT)]
        ran = _child(root, words)
        if ran.returncode:
            return ()  # a backend that reports no layers, for example: it has said so
        times: dict[str, float] = {}
        for layer in json.loads(ran.stdout)["layers"]:
            times[layer["name"]] = times.get(layer["name"], 0.0) + (layer["time_s"] or 0.0)
        found.append(times)
    base, head = found
    shifts = [
        LayerShift(name=name, base_s=base.get(name, 0.0), head_s=head.get(name, 0.0))
        for name in dict.fromkeys([*base, *head])
    ]
    return tuple(sorted(shifts, key=lambda row: -abs(row.head_s - row.base_s))[:MOST_LAYERS])


def _child(root: Path, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Another benchbox in the project root; what it says to people is shown."""
    environment = child_environment()
    if path := environment.get("PYTHONPATH"):
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(part).resolve()) for part in path.split(os.pathsep))
    command = [sys.executable, "-m", "benchbox", *words]
    return subprocess.run(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False
    )


def measured_in_turn(root: Path, task: Task, sides: Sides, confirm: Confirm) -> tuple[Measured, Measured]:
    """Both sides as they were measured by a ``benchbox run --ab``, whose progress is shown.

    Raises:
        MeasurementError: it ended with an error, which it has printed.
    """
    ran = _child(root, command_of(root, task, sides, confirm))
    if ran.returncode:
        raise MeasurementError(f"'benchbox run --ab' ended with exit status {ran.returncode}")
    found = []
    for record in json.loads(ran.stdout)["records"]:
        (file,) = record_files_of(record["id"], root / ROOT)
        read = read_record(file)
        found.append(Measured(record=read, trials=trials_from_file(file, read)))
    base, head = found
    return base, head
