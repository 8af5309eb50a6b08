"""Into which files does ``benchbox gate`` write, beside what it prints?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.shared import grouped

if TYPE_CHECKING:
    from benchbox.jobs.gate import Judged


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    """The files, None where one was not asked for; ``annotations`` are printed."""

    markdown: str | None
    junit: str | None
    annotations: bool
    bmf: str | None
    github_benchmark: str | None
    otava: str | None
    openmetrics: str | None


output_options = grouped(
    "outputs",
    OutputFlags,
    click.option("--markdown", metavar="FILE", help="Also write Markdown, for a job's summary."),
    click.option("--junit", metavar="FILE", help="Also write JUnit XML."),
    click.option("--annotations", is_flag=True, help="Also print annotations for GitHub Actions."),
    click.option("--bmf", metavar="FILE", help="Also write the night's numbers for Bencher."),
    click.option(
        "--github-benchmark",
        metavar="FILE.json",
        help="Also write them for github-action-benchmark: FILE.smaller.json and FILE.bigger.json, by what is better.",
    ),
    click.option("--otava", metavar="DIR", help="Also write all nights for Apache Otava: a CSV a case, otava.yaml."),
    click.option("--openmetrics", metavar="FILE", help="Also write the night's numbers for Prometheus or GitLab."),
)


def outputs_with_policy(flags: OutputFlags, root: Path, policy_file: str | None) -> OutputFlags:
    """The flags; what was not asked for is as the policy's table ``[outputs]`` says. Raises UsageError."""
    from benchbox.gate.policy import outputs_of

    said = outputs_of(root, policy_file)
    return OutputFlags(**{name: value or getattr(said, name) for name, value in vars(flags).items()})


def write_outputs(flags: OutputFlags, judged: Judged) -> None:
    """Writes what was asked for; raises StoreError where a file cannot be written."""
    from benchbox.gate.formats.charts import bmf_of, github_benchmark_of, openmetrics_of
    from benchbox.gate.formats.junit import junit_of
    from benchbox.gate.formats.markdown import markdown_of
    from benchbox.gate.formats.measured import values_of_night
    from benchbox.gate.formats.otava import otava_of
    from benchbox.jobs.gate import seconds_of_cases

    report = judged.report
    texts: dict[str | None, str] = {}
    if flags.markdown:
        texts[flags.markdown] = markdown_of(report)
    if flags.junit:
        texts[flags.junit] = junit_of(report, seconds_of_cases(judged))
    if flags.bmf or flags.github_benchmark or flags.openmetrics:
        values = values_of_night(judged.records, judged.policy, report.night)
        texts |= {flags.bmf: bmf_of(values), flags.openmetrics: openmetrics_of(values)}
        if flags.github_benchmark:
            file = Path(flags.github_benchmark)
            for word, smaller in (("smaller", True), ("bigger", False)):
                place = file.with_name(f"{file.stem}.{word}{file.suffix or '.json'}")
                texts[str(place)] = github_benchmark_of(values, smaller_is_better=smaller)
    for name, text in texts.items():
        if name is not None:
            write_file(name, text)
    if flags.otava is not None:
        for name, text in otava_of(judged.records, judged.policy).items():
            write_file(Path(flags.otava) / name, text, folder=True)


def write_file(name: str | Path, text: str, *, folder: bool = False) -> None:
    """Writes a file, with its folder if need be; raises StoreError."""
    from benchbox.errors import StoreError
    from benchbox.store.atomic import write_text

    path = Path(name)
    try:
        if folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise StoreError("the file cannot be written", values=f"{path}: {error.strerror or error}") from error
