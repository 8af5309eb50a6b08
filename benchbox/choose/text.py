"""How does a person read an answer?"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from benchbox.choose.amounts import MEASURED, Amount, Counted
from benchbox.choose.choosing import Choice, Undecided, is_by_rate
from benchbox.choose.limits import ACCURACY, QUALITIES, Limit
from benchbox.choose.standing import Check, Judged, Standing
from benchbox.choose.unmeasured import Unmeasured, direction
from benchbox.schema.reading import Better, Severity
from benchbox.units import counted, format_factor, format_known, format_percent, format_quantity, format_share

UNDECIDED_SHOWN = UNMEASURED_SHOWN = 3
FRONT_SHOWN = 6
WIDTH = 100
PUBLISHED_NOTE = "published: by the network's authors, not measured here and without an interval ('benchbox accuracy')"
RATE_NOTE = (
    "throughput in mode server is the rate of arrivals, which --rate sets: limit --latency-p99 instead, look at the "
    "share over the bound ('benchbox report --columns model,p99,over_bound'), or measure with --mode offline"
)
_CERTAIN = 0.99
_TAIL = 0.975  # one side of a 95 % interval


def render_choices(
    choices: Sequence[Choice],
    *,
    command_of: Callable[[Undecided], str],
    measuring: Callable[[Unmeasured], str],
    width: int = WIDTH,
) -> str:
    """The answer of each machine and mode, one block each.

    Args:
        choices: to show.
        command_of: what would decide a configuration that is undecided, or lacks a limited quality.
        measuring: the command that measures a combination that has no record.
        width: characters of a line; commands are never broken.
    """
    return "\n\n".join(
        "\n".join([*_block(choice, command_of=command_of, width=width), *_unmeasured(choice, measuring, width)])
        for choice in choices
    )


def _unmeasured(choice: Choice, measuring: Callable[[Unmeasured], str], width: int) -> list[str]:
    """How many combinations have no record, how many of these are ruled out, and how the next would be measured."""
    if not choice.unmeasured:
        return []
    broken = [entry for entry in choice.unmeasured if entry.broken]
    worth = [entry for entry in choice.unmeasured if not entry.broken]
    count = len(choice.unmeasured)
    lines = [f"{count} combination{'' if count == 1 else 's'} not measured"]
    lines[0] += f": {len(broken)} cannot meet the limits, {len(worth)} worth measuring" if choice.request.limits else ""
    if all(entry.latency_s is None for entry in choice.unmeasured):
        lines.append("  'benchbox ceilings' would bound their latency")
    for entry in broken[:UNMEASURED_SHOWN]:
        said = "; ".join(
            f"{bounded.limit.quality.name} {direction(bounded)} {value_text(bounded.limit.quality.name, bounded.best)}"
            for bounded in entry.broken
        )
        lines += _wrapped(f"cannot meet  {entry.name}: {said}", width, indent="  ")
    for entry in worth[:UNMEASURED_SHOWN]:
        lines += [*_wrapped(f"worth measuring  {entry.name}", width, indent="  "), f"      {measuring(entry)}"]
    return lines


def limit_text(limit: Limit) -> str:
    """A limit as it was meant: "latency <= 5 ms"."""
    return f"{limit.quality.name} {limit.sign} {limit.text}"


def value_text(name: str, value: float) -> str:
    """A value of a quality with its unit: times and energies with four digits, accuracies in percent."""
    if name == ACCURACY:
        return format_percent(value, 2)
    return format_quantity(value, QUALITIES[name].unit)


def known_text(name: str, amount: Amount) -> str:
    """What was measured, with no more digits than its 95 % interval leaves known."""
    low, high = amount.bound(_TAIL, upper=False), amount.bound(_TAIL, upper=True)
    if name == ACCURACY:
        return value_text(name, amount.value)
    return format_known(amount.value, low, high, QUALITIES[name].unit)


def _bound_text(name: str, amount: Amount, bound: float) -> str:
    """A bound with a digit more than the value beside it, so that rounding hardly moves it over a limit."""
    low, high = amount.bound(_TAIL, upper=False), amount.bound(_TAIL, upper=True)
    if name == ACCURACY or low is None or high is None or not amount.value:
        return value_text(name, bound)
    reach = bound * (high - low) / amount.value / 20
    return format_known(bound, bound - reach, bound + reach, QUALITIES[name].unit)


def _block(choice: Choice, *, command_of: Callable[[Undecided], str], width: int) -> list[str]:
    lines = _wrapped(_answer_line(choice), width, indent="")
    for number, judged in enumerate((choice.answer, *choice.runners_up)):
        if judged is not None:
            lines += _lines("-> " if number == 0 else "runner-up  ", judged, choice, width)
    lines += _standing_lines(choice, command_of, width)
    if len(choice.front) > 1:
        lines.append(f"front of {', '.join(choice.front_qualities)} (probability of being on it):")
        for member in choice.front[:FRONT_SHOWN]:
            values = ", ".join(known_text(name, member.candidate.amounts[name]) for name in choice.front_qualities)
            chance = f"  {_percent(member.probability):>6}  "
            lines += _wrapped(f"{member.candidate.name}: {values}", width, indent=chance)
        if len(choice.front) > FRONT_SHOWN:
            lines.append(f"  and {len(choice.front) - FRONT_SHOWN} more (--json)")
    if _rate_is_asked(choice):
        lines += _wrapped(RATE_NOTE, width, indent="")
    if "(published)" in "".join(lines):
        lines += _wrapped(PUBLISHED_NOTE, width, indent="")
    return lines


def _rate_is_asked(choice: Choice) -> bool:
    """Whether a throughput is limited, or to be highest, that the rate of arrivals decides."""
    asked = [choice.request.objective, *(limit.quality for limit in choice.request.limits)]
    shown = [choice.answer, *choice.runners_up, *choice.misses, *(entry.judged for entry in choice.undecided)]
    return any(judged and is_by_rate(judged.candidate, quality) for judged in shown for quality in asked)


def _answer_line(choice: Choice) -> str:
    objective = choice.request.objective
    word = "lowest" if objective.better is Better.LOWER else "highest"
    where = ", ".join(choice.facet)
    limits = ", ".join(limit_text(limit) for limit in choice.request.limits) or "no limits"
    if choice.answer is not None:
        return f"{word} {objective.name} under {limits} on {where}:"
    if choice.undecided or choice.unknown:
        return f"nothing surely meets {limits} on {where}"
    return f"nothing meets {limits} on {where}"


def _lines(prefix: str, judged: Judged, choice: Choice, width: int) -> list[str]:
    """A configuration with its chance, and below it its values with the bounds that decide."""
    shown = [_check_text(check) for check in judged.checks]
    objective = choice.request.objective.name
    if objective not in {check.limit.quality.name for check in judged.checks}:
        shown.insert(0, f"{objective} {known_text(objective, judged.candidate.amounts[objective])}")
    open_ = any(check.amount is not None and check.bound is None for check in judged.checks)
    likely = "not known" if open_ else _percent(judged.chance)
    chance = f"  meets {_all_of(len(judged.checks))}: {likely}" if judged.checks else ""
    line = f"  {prefix}{judged.candidate.name}{chance}"
    head = [line] if len(line) <= width else _wrapped(f"{prefix}{judged.candidate.name}", width, indent="  ")
    head += [] if len(line) <= width else [f"      {chance.strip()}"]
    found = [*head, *_wrapped(", ".join(shown), width)]
    return [*found, *_wrapped(f"warnings: {', '.join(warnings)}", width)] if (warnings := _warnings(judged)) else found


def _warnings(judged: Judged) -> list[str]:
    flags = judged.candidate.flags
    return list(dict.fromkeys(flag.code for flag in flags if flag.severity is Severity.WARNING))


def _wrapped(text: str, width: int, *, indent: str = "      ") -> list[str]:
    further = {"": "  ", "  ": "      "}.get(indent, " " * len(indent))
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=further, break_on_hyphens=False)


def _check_text(check: Check) -> str:
    """The value with the bound that decides: "latency 3.91 ms (<= 3.970 ms)", "accuracy 69.02 % (published)"."""
    amount, name = check.amount, check.limit.quality.name
    if amount is None:
        return f"no {name}"
    text = f"{name} {known_text(name, amount)}"
    if amount.source != MEASURED:
        return f"{text} (published)"
    if check.bound is None:
        return f"{text} (one process: no interval)"
    return f"{text} ({check.limit.sign} {_bound_text(name, amount, check.bound)})"


def _standing_lines(choice: Choice, command_of: Callable[[Undecided], str], width: int) -> list[str]:
    verb = "qualifies" if choice.considered == 1 else "qualify"
    parts = [f"{choice.feasible} of {counted(choice.considered, 'configuration')} {verb}"]
    if choice.undecided:
        parts.append(f"{len(choice.undecided)} undecided")
    if choice.unknown:
        lacking = sorted({name for entry in choice.unknown for name in entry.lacking})
        parts.append(f"{len(choice.unknown)} without {' or '.join(lacking)}")
    parts += [f"{count} {reason}" for reason, count in choice.excluded.items()]
    lines = _wrapped(", ".join(parts), width, indent="")
    for entry in choice.undecided[:UNDECIDED_SHOWN]:
        lines += _lines("undecided  ", entry.judged, choice, width)
        lines.append(f"      {command_of(entry)}")
    for entry in choice.unknown[:UNDECIDED_SHOWN]:
        lines += _wrapped(f"without {' and '.join(entry.lacking)}  {entry.judged.candidate.name}", width, indent="  ")
        lines.append(f"      {command_of(entry)}")
    for judged in choice.misses:
        over = "; ".join(_miss_text(check) for check in judged.checks if check.standing is Standing.MISSES)
        lines += _wrapped(f"misses  {judged.candidate.name}: {over}", width, indent="  ")
    return lines


def _miss_text(check: Check) -> str:
    assert check.amount is not None, "a limit is missed by a value"
    name = check.limit.quality.name
    side = "over" if check.limit.quality.better is Better.LOWER else "below"
    far = format_share(check.excess) if check.excess < 1 else format_factor(1 + check.excess)
    word = side if check.excess < 1 else "the limit"
    return f"{name} {_amount_text(name, check.amount)}, {far} {word}"


def _amount_text(name: str, amount: Amount) -> str:
    text = known_text(name, amount)
    if isinstance(amount, Counted):
        return f"{text} of {amount.samples}"
    return text if amount.source == MEASURED else f"{text} (published)"


def _all_of(count: int) -> str:
    return {1: "the limit", 2: "both"}.get(count, f"all {count}")


def _percent(probability: float) -> str:
    return "> 99 %" if probability > _CERTAIN else format_percent(probability)
