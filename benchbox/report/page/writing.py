"""How do records become one self-contained page that needs neither scripts nor styles to be read?"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from benchbox.report.definitions import definitions
from benchbox.report.material import Material, Point, machine_name, points_by_machine
from benchbox.report.page.ceilings import above_lines, ceiling_tables
from benchbox.report.page.matrix import matrix_of
from benchbox.report.page.sentences import choices, sentences
from benchbox.report.plots.gallery import pictures_of
from benchbox.report.plots.rendering import require_renderer, svg_from_picture
from benchbox.report.plots.roofs import shares_by_record
from benchbox.report.records.base import View
from benchbox.report.records.notes import notes_from_records, skips_and_failures
from benchbox.report.records.rows import columns_and_rows
from benchbox.schema.record import Record, Status

_EVERYTHING = View(wide=True)


def page_from_material(material: Material) -> str:
    """The page as HTML: one file, no request to anywhere.

    Raises:
        EnvironmentLackError: vl-convert or Jinja is missing.
    """
    require_renderer()
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    script, style = _template("page.js"), _template("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    machines = _machines(material)
    listed = material.records[-_MOST_RECORDS:]
    columns, rows, _ = columns_and_rows(listed, _EVERYTHING) if listed else ([], [], 0)
    cases = _cases_of(material)
    return environment.get_template("page.html").render(
        title=material.title,
        counts={status.value: sum(record.status is status for record in material.records) for status in Status},
        days=sorted({record.started_at[:10] for record in material.records}),
        networks=sorted({record.key.model for record in material.records}),
        commits=sorted({commit for record in material.records if (commit := _commit(record))}),
        verdict=material.verdict,
        machines=machines,
        machine_names=sorted({machine_name(record) for record in material.records}),
        without=skips_and_failures(material.records),
        notes=notes_from_records(material.records, View(notes=len(material.records) <= _FEW)),
        columns=columns,
        rows=[(cases.get(record.id, ""), row) for record, row in zip(listed, rows, strict=True)],
        left_out=len(material.records) - len(listed),
        filters=_filters(material.records),
        definitions=_defined([column.title for column in columns]),
        style=Markup(style),
        script=Markup(script),
        digest=digest,
    )


def _machines(material: Material) -> list[dict[str, object]]:
    """What the page says of each machine."""
    from markupsafe import Markup

    machines: list[dict[str, object]] = []
    for place, (machine, found) in enumerate(points_by_machine(material).items()):
        newest = {point.record.id for point in sorted(found, key=_started)[-_MOST_CASES:]}
        points = [point for point in found if point.record.id in newest]
        failed = [
            one for one in material.records if one.status is Status.FAILED and machine_name(one) == machine
        ]  # fmt: skip
        pictures = [
            (picture, f"{picture.name}-{place}", Markup(svg_from_picture(picture, identity=f"{picture.name}-{place}")))
            for picture in pictures_of(points, material)
        ]
        machines.append(
            {
                "name": machine,
                "shown": len(points),
                "left_out": len(found) - len(points),
                "environments": sorted({point.record.environment.hash for point in points}),
                "sentences": sentences(points),
                "choices": choices(points, material.front),
                "ceilings": ceiling_tables(points, material),
                "matrix": matrix_of(points, shares_by_record(points, material), material.changes, failed),
                "above": above_lines(points, material),
                "since": min(point.record.started_at for point in found)[:10],
                "pictures": pictures,
            }
        )
    return machines


_FEW = 50
# What a browser and a person can still look at; whoever needs more has CSV and --where.
_MOST_RECORDS, _MOST_CASES = 1000, 500
_SHOWN_COMMIT = 12


def _started(point: Point) -> str:
    return point.record.started_at


def _template(name: str) -> str:
    return resources.files("benchbox.report.page").joinpath("templates", name).read_text(encoding="utf-8")


def _commit(record: Record) -> str:
    return record.environment.observed.get("commit", "")[:_SHOWN_COMMIT]


def _cases_of(material: Material) -> dict[str, str]:
    """The name of the case by record id, for the records that the pictures show."""
    return {
        point.record.id: point.case for points in points_by_machine(material).values() for point in points
    }  # fmt: skip


def _filters(records: Sequence[Record]) -> dict[str, list[str]]:
    """What the chips choose among, each with two values at least."""
    found = {
        "backend": sorted({record.key.backend for record in records}),
        "precision": sorted({record.key.precision.value for record in records}),
        "batch": [str(batch) for batch in sorted({record.key.batch for record in records})],
    }
    return {name: values for name, values in found.items() if len(values) > 1}


def _defined(titles: Sequence[str]) -> list[tuple[str, str]]:
    """The definitions of the columns that the page shows: name and text."""
    known = definitions()
    found = [(title, next((entry for entry in known if entry.defines(title)), None)) for title in titles]
    return [(title, "; ".join(text for _, text in entry.facts if text)) for title, entry in found if entry]
