"""How is it shown why a precision is not as much faster as it could be?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.report.views.layers import document_from_layers, threads_text
from benchbox.schema.explanation import Cause, ExplainedGroup, Explanation, Reason
from benchbox.store.documents import json_text, plain
from benchbox.units import ABSENT, format_factor, format_flops_per_s, format_quantity, format_ratio, format_time

FORMS = ("table", "md", "json")
_SHOWN, _NAMED = 3, 5
_LEAST_SHARE = 0.005

# What each cause is called: in a cell, and in a sentence with the precision filled in.
_WORDS = {
    Cause.REQUANTISING: "Q/DQ and casts",
    Cause.UNPACKING: "weights dequantised",
    Cause.REORDERING: "reordering",
    Cause.WIDER: "not in {precision}",
    Cause.BETWEEN: "other layers not in {precision}",
    Cause.UNKNOWN: "in no node",
    Cause.ARITHMETIC: "arithmetic",
    Cause.BYTES: "bytes",
    Cause.BEYOND: "beyond the bound",
}
_MEANINGS = {
    Cause.REQUANTISING: "kernels that only quantise, dequantise or cast",
    Cause.UNPACKING: "weights dequantised again in every inference",
    Cause.REORDERING: "kernels that only change the layout",
    Cause.WIDER: "convolutions and matrix products that did not run in {precision}",
    Cause.BETWEEN: "other layers that did not run in {precision}",
    Cause.UNKNOWN: "kernels that could not be attributed to a node",
    Cause.ARITHMETIC: "{precision} layers bound by arithmetic: their roofline minimum",
    Cause.BYTES: "{precision} layers bound by memory: their roofline minimum",
    Cause.BEYOND: "{precision} kernels: time above their roofline minimum",
}
_REMEDY = "a wider screen or --json shows all"


def render_explanation(explanation: Explanation, *, form: str) -> str:
    """The explanation as text in one of ``FORMS``."""
    if form == "json":
        return json_text(document_from_explanation(explanation))
    return "\n\n".join(
        [
            table_of(_group_columns(explanation), explanation.groups, form=form, remedy=_REMEDY),
            table_of(_reason_columns(explanation), explanation.reasons, form=form, remedy=_REMEDY),
            lines_below(*_notes(explanation), *_sentences(explanation)),
        ]
    )


def document_from_explanation(explanation: Explanation) -> dict[str, object]:
    """The JSON document ``benchbox.layers/1`` of the precision, with the key ``against``."""
    device = explanation.device
    return {
        **document_from_layers(explanation.table, explanation.table.rows),
        "against": {
            "precision": explanation.base.precision,
            "latency_s": explanation.base.latency_s,
            "profiled_s": explanation.base.time_s,
            "speedup": explanation.speedup,
            "speedup_low": explanation.speedup_interval[0] if explanation.speedup_interval else None,
            "speedup_high": explanation.speedup_interval[1] if explanation.speedup_interval else None,
            "processes": explanation.processes,
            "profiled_speedup": explanation.profiled_speedup,
            "bound": plain(explanation.bound),
            "rates": None
            if device is None
            else {
                "relative": dict(device.rates),
                "fp32_flops_per_s": device.fp32_flops_per_s,
                "bytes_per_s": device.bytes_per_s,
                "source": device.source,
            },
            "beyond_s": explanation.base_beyond_s,
            "matrix_layers": explanation.matrices,
            "matrix_layers_in_another_type": explanation.wider,
            "reasons": [_reason_document(reason, explanation) for reason in explanation.reasons],
            "groups": [
                {
                    **plain(group),
                    "speedup": group.speedup,
                    "reasons": [_reason_document(reason, explanation) for reason in group.reasons],
                }
                for group in explanation.groups
            ],
            "layers": document_from_layers(explanation.base, explanation.base.rows)["layers"],
        },
    }


def _reason_document(reason: Reason, explanation: Explanation) -> dict[str, object]:
    return {
        "cause": reason.cause.value,
        "time_s": reason.time_s,
        "share": _share(reason.time_s, explanation),
        "layers": reason.layers,
        "kinds": dict(reason.kinds),
        "longest": list(reason.names),
    }


def _reason_columns(explanation: Explanation) -> tuple[Column[Reason], ...]:
    return (
        Column(title="cause", fold=True, cell=lambda reason: _word(reason.cause, explanation, _MEANINGS)),
        Column(title="time", cell=lambda reason: format_time(reason.time_s), number=True),
        Column(title="share", cell=lambda reason: _percent(reason.time_s, explanation), number=True),
        Column(title="layers", cell=lambda reason: str(reason.layers), number=True),
        Column(
            title="kinds", fold=True, cell=lambda reason: _listed([f"{count} {kind}" for kind, count in reason.kinds])
        ),
        Column(title="longest", rank=2, cell=lambda reason: ", ".join(reason.names[:_SHOWN])),
    )


def _group_columns(explanation: Explanation) -> tuple[Column[ExplainedGroup], ...]:
    precision = explanation.table.precision

    def times(time_s: float) -> str:
        return format_time(time_s) if time_s else ABSENT

    def causes(group: ExplainedGroup) -> str:
        shown = [reason for reason in group.reasons if (_share(reason.time_s, explanation) or 0.0) >= _LEAST_SHARE]
        return ", ".join(
            f"{_word(reason.cause, explanation, _WORDS)} {_percent(reason.time_s, explanation)}" for reason in shown
        )

    return (
        Column(title="layers", cell=lambda group: group.name),
        Column(title=explanation.base.precision, cell=lambda group: times(group.base_time_s), number=True),
        Column(title=precision, cell=lambda group: times(group.time_s), number=True),
        Column(title="speed-up", cell=lambda group: format_factor(group.speedup), number=True),
        Column(title="bound", cell=lambda group: format_factor(group.bound.ideal), number=True),
        Column(title="limited by", cell=lambda group: group.bound.by or ABSENT),
        Column(title=f"where the {precision} time goes", cell=causes, fold=True),
    )


def _word(cause: Cause, explanation: Explanation, words: Mapping[Cause, str]) -> str:
    """What a cause is called; without rates nothing is known of what a layer needs."""
    if cause is Cause.BEYOND and explanation.device is None:
        return f"layers in {explanation.table.precision}"
    return words[cause].format(precision=explanation.table.precision)


def _share(time_s: float, explanation: Explanation) -> float | None:
    return time_s / explanation.table.time_s if explanation.table.time_s else None


def _percent(time_s: float, explanation: Explanation) -> str:
    return format_ratio(_share(time_s, explanation))


def _notes(explanation: Explanation) -> list[str]:
    """What was measured, which rates the bounds are of, and where they meet."""
    table, base, device = explanation.table, explanation.base, explanation.device
    lines = [
        f"{table.model} on {table.backend}, batch {table.batch}, {threads_text(table.threads)}: profiled layers "
        f"together {format_time(base.time_s)} in {base.precision} and {format_time(table.time_s)} in "
        f"{table.precision}, medians of {table.iterations} inferences in one process each: shares of the time, not a "
        "measure of speed"
    ]
    if device is None:
        lines.append("the rates of this device are unknown: no bound and no roofline minimum of a layer")
    else:
        relative = ", ".join(f"{kind} {format_factor(rate)}" for kind, rate in device.rates.items() if kind != "fp32")
        lines.append(
            f"bounds from: fp32 {format_flops_per_s(device.fp32_flops_per_s)}, memory "
            f"{format_quantity(device.bytes_per_s, 'B/s')}, the best seen in {base.precision} or published; arithmetic "
            f"relative to fp32: {relative} ({device.title}, {device.source})"
        )
        if device.fp32_flops_per_s and device.bytes_per_s:
            lines.append(
                f"ridge in fp32: {device.fp32_flops_per_s / device.bytes_per_s:.2f} FLOP/B, where these two meet: "
                "layers below it are bound by memory"
            )
    return lines


def _sentences(explanation: Explanation) -> list[str]:
    """The answer in two sentences: how much faster, how much it could be, and what takes the time."""
    bound = explanation.bound
    ceiling = (
        f"at most {format_factor(bound.ideal)} are possible" if bound.ideal is not None else "its bound is unknown"
    )
    first = f"{_conclusion(explanation)}; {ceiling}."
    spoken = [_spoken(reason, explanation) for reason in explanation.reasons]
    large = [text for text, reason in zip(spoken, explanation.reasons, strict=True) if _counts(reason, explanation)]
    second = "; ".join(large[:_NAMED])
    return [first, f"{second[:1].upper()}{second[1:]}." if second else "No layer took time."]


def _conclusion(explanation: Explanation) -> str:
    """How much faster it is, as far as the processes allow a statement."""
    precision, base, count = explanation.table.precision, explanation.base.precision, explanation.processes
    if explanation.speedup_interval is None:
        few = "1 process a side gives" if count == 1 else f"{count} processes a side give"
        return (
            f"No conclusion whether {precision} is faster than {base}: {few} no interval (here "
            f"{format_factor(explanation.speedup)}); use --trials 4 or more"
        )
    low, high = explanation.speedup_interval
    interval, basis = f"{format_factor(low)} to {format_factor(high)}", f"(95 %, {count} processes a side, in turn)"
    if low <= 1 <= high:
        return f"No difference in speed between {precision} and {base} can be shown: {interval} {basis}"
    return f"{precision} is {interval} as fast as {base} {basis}"


def _counts(reason: Reason, explanation: Explanation) -> bool:
    return (_share(reason.time_s, explanation) or 0.0) >= 2 * _LEAST_SHARE


def _spoken(reason: Reason, explanation: Explanation) -> str:
    precision, share = explanation.table.precision, _percent(reason.time_s, explanation)
    count = "1 kernel" if reason.layers == 1 else f"{reason.layers} kernels"
    if reason.cause is Cause.WIDER:
        return (
            f"{explanation.wider} of {explanation.matrices} convolutions and matrix products did not run in "
            f"{precision}: {share} of its time"
        )
    if reason.cause is Cause.BETWEEN:
        kinds = _listed([kind for kind, _ in reason.kinds])
        layers = "1 other layer" if reason.layers == 1 else f"{reason.layers} other layers"
        return f"{layers} ({kinds}) did not run in {precision}: {share}"
    if reason.cause is Cause.REQUANTISING:
        return f"quantising, dequantising and casting takes {share} ({count})"
    if reason.cause is Cause.UNPACKING:
        return f"dequantising weights again in every inference takes {share} ({count})"
    if reason.cause is Cause.REORDERING:
        return f"changing the layout takes {share} ({count})"
    if reason.cause is Cause.UNKNOWN:
        return f"kernels that could not be attributed to a node take {share} ({count})"
    if reason.cause is Cause.ARITHMETIC:
        return f"arithmetic in {precision} needs at least {share}"
    if reason.cause is Cause.BYTES:
        return f"layers bound by memory need at least {share} for their bytes"
    if explanation.device is None:
        return f"layers in {precision} take {share}"
    text = f"kernels in {precision} spend {share} above their roofline minimum"
    if explanation.base_beyond_s is None or not explanation.base.time_s:
        return text
    base = format_ratio(explanation.base_beyond_s / explanation.base.time_s)
    return f"{text} (those in {explanation.base.precision} {base} of theirs)"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (", …" if len(words) > _SHOWN else "")
