"""In which order does a choice come about? Records, accuracies, limits, and the commands that go with the answer."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbox.choose.candidates import Candidate, Excluded, candidates_from_records
from benchbox.choose.choosing import Choice, Request, Undecided, choices_of
from benchbox.choose.limits import ACCURACY, ENERGY
from benchbox.choose.replicates import records_of_cases
from benchbox.choose.standing import Judged
from benchbox.choose.unmeasured import Unmeasured, unmeasured_of
from benchbox.gate.series import machine_of
from benchbox.jobs.selecting import say_unmatched
from benchbox.models.asked import words_of_artifact
from benchbox.models.zoo.zoo import specs
from benchbox.report.case_options import options_of, variant_options
from benchbox.report.cases import ambiguous_models
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.device import Ceilings
from benchbox.schema.identity import identity_of, network_of, sweep_id_of
from benchbox.schema.plan import TRANSFER_RESIDENT
from benchbox.schema.record import Record
from benchbox.store.accuracies import accuracies_under
from benchbox.store.artifact_files import artifacts_under
from benchbox.store.ceilings import stored_ceilings
from benchbox.store.records import listed_records, read_headline, readable_records
from benchbox.store.selection import conditions_from_words, matching
from benchbox.units import format_time

EMIT_SCHEMA = "benchbox.choice/1"
_SHA_SHOWN = 8
_SIZES = ("group", "streams")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The choices, newest machine and mode first, how many records they rest on, and the artifacts at hand."""

    choices: tuple[Choice, ...]
    records: int
    artifacts: tuple[OnnxArtifact, ...]

    def measuring(self, unmeasured: Unmeasured) -> str:
        """The command that measures a combination that has no record."""
        return measuring_command(unmeasured.like, self.artifacts)

    def command_of(self, undecided: Undecided) -> str:
        """What would decide: more processes, passes or pictures, or what is not known yet; or why nothing would."""
        if undecided.by_rate:
            rate = undecided.judged.candidate.record.plan.rate_per_s or 0.0
            return f"more processes would not decide: its throughput is the arrival rate, --rate {rate:g}"
        if not undecided.is_open:
            needed = {"processes": undecided.trials, "passes": undecided.passes, "pictures": undecided.pictures}
            what = next(name for name, number in needed.items() if number is None)
            return f"too near to the limit: more {what} would not decide"
        record, lacking = undecided.judged.candidate.record, undecided.lacking
        commands, notes = [], []
        if undecided.passes:
            commands.append("benchbox sweep FILE.toml")
            more = f"passes = {undecided.passes}, processes = {undecided.processes}"
            notes.append(f"{sweep_id_of(record)} with {more}")
        if undecided.trials or ENERGY in lacking:
            command = measuring_command(record, self.artifacts, trials=undecided.trials or None)
            commands.append(f"{command} --energy" if ENERGY in lacking else command)
        if undecided.pictures or ACCURACY in lacking:
            commands.append(accuracy_command(record, self.artifacts))
            notes += [f"DIR with {undecided.pictures:,} labelled pictures"] if undecided.pictures else []
        if not commands:
            return f"no command gives {' and '.join(lacking)} in mode {record.key.mode}"
        return " && ".join(commands) + (f"  # {'; '.join(notes)}" if notes else "")


def choose_stored(
    root: Path, request: Request, *, where: Sequence[str], across: bool, warn: Callable[[str], None]
) -> Chosen:
    """Chooses among the records under a root.

    Args:
        root: project root.
        request: limits and objective.
        where: conditions that records must meet, as of ``report``.
        across: machines and modes are one field; else each has its own answer.
        warn: receives a line per damaged record.
    """
    conditions = conditions_from_words(where)
    facet = _everything if across else facet_of

    def name(record: Record) -> str:
        return case_name(record, across=across)

    listed = listed_records(root, conditions, newest=True)
    readable = readable_records(listed.paths, warn=warn, read=read_headline)
    files = {record.id: (path, record) for path, record in readable if matching(record, conditions)}
    say_unmatched(root, where, [record for _, record in files.values()], warn)
    # Only those that count of each case are needed whole.
    counting = records_of_cases((record for _, record in files.values()), facet_of=facet, name_of=name)
    whole = readable_records((files[record.id][0] for entries in counting for record in entries), warn=warn)
    candidates, excluded = candidates_from_records(
        (record for _, record in whole),
        facet_of=facet,
        name_of=name,
        accuracies=accuracies_under(root, warn=warn),
        published={name: (spec.accuracy.top1, spec.accuracy.source) for name, spec in specs().items() if spec.accuracy},
    )
    choices = choices_of(_told_apart(candidates), excluded, request)
    if not across:
        stored = stored_ceilings(root, warn=warn)
        choices = tuple(_with_unmeasured(choice, candidates, excluded, stored, name) for choice in choices)
    return Chosen(
        choices=choices,
        records=len(files) + listed.count - len(listed.paths),
        artifacts=artifacts_under(root, say=warn) if files else (),
    )


def _told_apart(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates, with the beginning of the network's sha256 in the name where one name stands for several."""
    ambiguous = ambiguous_models([identity_of(candidate.record) for candidate in candidates])
    return tuple(
        dataclasses.replace(candidate, name=f"{candidate.name} · network {network[:_SHA_SHOWN]}")
        if candidate.record.key.model in ambiguous and (network := network_of(candidate.record))
        else candidate
        for candidate in candidates
    )


def _with_unmeasured(
    choice: Choice,
    candidates: Sequence[Candidate],
    excluded: Sequence[Excluded],
    stored: Sequence[Ceilings],
    name_of: Callable[[Record], str],
) -> Choice:
    known: list[Candidate | Excluded] = [*candidates, *excluded]
    found = unmeasured_of(
        [entry.record for entry in known if entry.facet == choice.facet],
        choice.request.limits,
        [one for one in stored if machine_of(one.environment) == choice.facet[0]],
        name_of=name_of,
    )
    return dataclasses.replace(choice, unmeasured=found)


def _everything(_: Record) -> tuple[str, ...]:
    return ("all machines and modes",)


def facet_of(record: Record) -> tuple[str, ...]:
    """The kind of machine and the mode: numbers of different ones answer different questions."""
    return machine_of(record.environment), record.key.mode.value


def case_name(record: Record, *, across: bool) -> str:
    """The configuration as a person reads it; the machine and the mode are in the facet's title."""
    case = identity_of(record)
    parts = [case.model, case.backend, case.precision.value, case.variant, f"batch {case.batch}"]
    parts += [f"{case.threads} thread{'' if case.threads == 1 else 's'}"]
    parts += [f"{name} {size}" for name in _SIZES if (size := getattr(case, name)) is not None]
    parts += [f"{case.rate_per_s:g} samples/s"] if case.rate_per_s is not None else []
    parts += [f"bound {format_time(case.latency_bound_s)}"] if case.latency_bound_s is not None else []
    parts += [case.transfer if case.transfer != TRANSFER_RESIDENT else "", f"like {case.like}" if case.like else ""]
    parts += [*facet_of(record)] if across else []
    return " · ".join(part for part in parts if part)


def measuring_command(record: Record, artifacts: Sequence[OnnxArtifact], *, trials: int | None = None) -> str:
    """``benchbox run`` for the same case, with as many processes."""
    case = identity_of(record)
    words = ["benchbox", "run", *_network_of(record, artifacts), *options_of(case), *_variant_of(record, artifacts)]
    return shlex.join([*words, *(["--trials", str(trials)] if trials is not None else [])])


def accuracy_command(record: Record, artifacts: Sequence[OnnxArtifact]) -> str:
    """``benchbox accuracy`` for the same network, backend and precision; DIR is the user's."""
    key = record.key
    words = ["benchbox", "accuracy", *_network_of(record, artifacts), "--backend", key.backend]
    words += ["--precision", key.precision.value, *_variant_of(record, artifacts), "--data", "DIR"]
    return shlex.join(words)


def emitted(judged: Judged, choice: Choice, artifacts: Sequence[OnnxArtifact]) -> dict[str, Any]:
    """What to deploy: digests, and the commands that build, measure and verify it."""
    record = judged.candidate.record
    key = record.key
    network = _network_of(record, artifacts)
    shared = ["--precision", key.precision.value, *_variant_of(record, artifacts)]
    if record.engine_sha256 is not None:
        build = ["benchbox", "build", *network, "--backend", key.backend, *shared, "--batch", str(key.batch)]
    else:
        build = ["benchbox", "export", *network, *shared]
    return {
        "schema": EMIT_SCHEMA,
        "case": judged.candidate.name,
        "machine": machine_of(record.environment),
        "record": record.id,
        "records": [entry.id for entry in judged.candidate.records],
        "onnx_sha256": record.onnx_sha256,
        "weights_sha256": record.weights_sha256,
        "engine_sha256": record.engine_sha256,
        "limits": {
            check.limit.quality.name: {
                "limit": check.limit.value,
                "value": check.amount.value if check.amount else None,
                "bound": check.bound,
                "source": check.amount.source if check.amount else None,
            }
            for check in judged.checks
        },
        "probability": judged.chance,
        "confidence": choice.request.confidence,
        "build": shlex.join(build),
        "verify": measuring_command(record, artifacts),
    }


def _network_of(record: Record, artifacts: Sequence[OnnxArtifact]) -> list[str]:
    """What MODEL was called, with the options that chose the network.

    The artifact knows; without it the name is right for the zoo.
    """
    found = _artifact_of(record, artifacts)
    return _of_the_zoo(record.key.model) if found is None else words_of_artifact(found)


def _variant_of(record: Record, artifacts: Sequence[OnnxArtifact]) -> list[str]:
    """The flags of a record's variant; the artifact knows where its calibration data lay."""
    found = _artifact_of(record, artifacts)
    made = found.quantization if found else None
    return variant_options(record.key.variant, calibration=made.folder if made else "")


def _artifact_of(record: Record, artifacts: Sequence[OnnxArtifact]) -> OnnxArtifact | None:
    return next((artifact for artifact in artifacts if artifact.sha256 == record.onnx_sha256), None)


def _of_the_zoo(name: str) -> list[str]:
    """The words for the name of a record: "resnet18-3x64x64" is resnet18 with another input size."""
    model, dash, shape = name.rpartition("-")
    return [model, "--input", shape] if dash and name not in specs() and model in specs() else [name]
