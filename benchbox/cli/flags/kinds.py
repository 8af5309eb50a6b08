"""Which kinds of values do flags take, and how is their text read?

A value is read once, where the command line is parsed: commands get numbers, enums and tuples. A wrong text raises
UsageError that names the flag and, for names, the nearest known one. Kinds with names complete them in the shell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    _ParamType = click.ParamType[Any, Any]
else:
    _ParamType = click.ParamType

BASE_CLOCK = "base"
# LoadGen takes about 10 us to issue a query to Python.
MOST_RATE_PER_S = 100_000
_BLOCK_FORMATS = frozenset({"uint4", "fp4", "nvfp4", "mxfp4", "mxfp6", "mxfp8"})


class Kind(_ParamType):
    """A kind of value: its text is read by ``parse``."""

    name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of a text; a value that was read already stays as it is."""
        if not isinstance(value, str):
            return value
        return self.parse(value, flag=max(param.opts, key=len) if param else self.name)

    def parse(self, text: str, *, flag: str) -> Any:
        """The value that a text means; raises UsageError that names the flag."""
        return text

    def names(self) -> Iterable[str]:
        """What the shell can complete."""
        return ()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin so."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


class Count(Kind):
    """A whole number of at least 1."""

    name = "count"

    def parse(self, text: str, *, flag: str) -> int:
        """The number; raises UsageError for anything else."""
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise _usage(f"{flag} takes whole numbers of at least 1", text)
        return int(text)


class Number(Kind):
    """A finite number within limits.

    Args:
        words: what it is, as in "--timeout takes a positive number of seconds".
        fits: whether a finite number is within the limits.
        scale: what the number is multiplied by.
        remedy: the last part of the message.
    """

    name = "number"

    def __init__(self, words: str, fits: Callable[[float], bool], *, scale: float = 1.0, remedy: str = "") -> None:
        self._words = words
        self._fits = fits
        self._scale = scale
        self._remedy = remedy

    def parse(self, text: str, *, flag: str) -> float:
        """The number; raises UsageError where it is not finite or does not fit."""
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number * self._scale) or not self._fits(number):
            raise _usage(f"{flag} takes {self._words}", text, self._remedy)
        return number * self._scale


class Word(Kind):
    """One of some names.

    Args:
        kind: the word for what is named ("precision").
        known: the names that exist and what each means; called when it is needed.
        offered: the names that the shell completes, if not all of them.
    """

    name = "word"

    def __init__(
        self, kind: str, known: Callable[[], Mapping[str, Any]], offered: Callable[[], Iterable[str]] | None = None
    ) -> None:
        self._kind = kind
        self._known = known
        self._offered = offered or known

    def parse(self, text: str, *, flag: str) -> Any:
        """What the name means; an unknown one raises UsageError with the nearest known."""
        from benchbox.registry import require_known

        known = self._known()
        return known[text if text in known else require_known(self._kind, text, self._offered())]

    def names(self) -> Iterable[str]:
        """The names that are offered."""
        return self._offered()


class PrecisionWord(Word):
    """A precision; formats that no converter makes of an ONNX file are refused with the reason."""

    def parse(self, text: str, *, flag: str) -> Any:
        """As ``Word.parse``."""
        if text.strip().lower() in _BLOCK_FORMATS:
            from benchbox.errors import UsageError

            raise UsageError(
                f"{flag} {text} cannot be made here",
                values="of an ONNX file NVIDIA ModelOpt makes int8, fp8 and weights in int4; FP4 and microscaled "
                "numbers it makes of a PyTorch module with its data, and TensorRT alone computes in them",
                remedy="weights of four bits: --precision int4 --converter modelopt; else build the engine with "
                "ModelOpt and trtexec, put the fp32 file beside it under the same name, and run it: benchbox run "
                "net.plan",
            )
        return super().parse(text, flag=flag)


class Listed(Kind):
    """Values of one kind, separated by commas: a tuple in order, without repeats, never empty."""

    name = "list"

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def parse(self, text: str, *, flag: str) -> tuple[Any, ...]:
        """The values; raises UsageError where there is none, or one is wrong."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        if not words:
            raise _usage(f"{flag} is empty", text, "give one value, or several separated by commas")
        return tuple(dict.fromkeys(self._kind.parse(word, flag=flag) for word in words))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Completes the last value of the list with what is not in it yet."""
        from click.shell_completion import CompletionItem

        *done, last = incomplete.split(",")
        names = [name for name in self._kind.names() if name.startswith(last) and name not in done]
        return [CompletionItem(",".join([*done, name])) for name in names]


class Offered(Kind):
    """Any text; some names are completed.

    Args:
        offered: those names.
    """

    name = "text"

    def __init__(self, *offered: str) -> None:
        self._offered = offered

    def names(self) -> Iterable[str]:
        """Those names."""
        return self._offered


class Batches(Kind):
    """MIN:OPT:MAX, or one number for a single batch size."""

    name = "batches"

    def parse(self, text: str, *, flag: str) -> Any:
        """A BatchRange; raises UsageError unless 1 <= MIN <= OPT <= MAX."""
        from benchbox.schema.artifact import BatchRange

        numbers = [COUNT.parse(part, flag=flag) for part in text.split(":")]
        if len(numbers) == 1:
            numbers *= 3
        if len(numbers) != 3 or sorted(numbers) != numbers:
            raise _usage(f"{flag} takes MIN:OPT:MAX in growing order", text, f"for example {flag} 1:8:32")
        return BatchRange(minimum=numbers[0], optimum=numbers[1], maximum=numbers[2])


class Shape(Kind):
    """Positive sizes joined by x, without the batch."""

    name = "shape"

    def parse(self, text: str, *, flag: str) -> tuple[int, ...]:
        """(3, 224, 224) from "3x224x224"; raises UsageError for anything else."""
        from benchbox.models.sources import parse_shape

        return parse_shape(text)


class Clock(Kind):
    """A clock in MHz, or the base clock."""

    name = "clock"

    def parse(self, text: str, *, flag: str) -> str:
        """The clock as plans hold it ("1410 MHz", "base"); raises UsageError for anything but whole megahertz."""
        if text == BASE_CLOCK:
            return text
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise _usage(f"{flag} takes whole megahertz", text, f"write {flag}=1410; put MODEL before it")
        return f"{int(text)} MHz"


class Model(Kind):
    """A network: a name of the zoo, a file, a factory or a library's name. What it means depends on other flags."""

    name = "model"

    def names(self) -> Iterable[str]:
        """The networks of the zoo."""
        from benchbox.models.zoo.zoo import specs

        return specs()


def _usage(what: str, text: str, remedy: str = "") -> Exception:
    from benchbox.errors import UsageError

    return UsageError(what, values=f"got '{text}'", remedy=remedy)


def _backends() -> dict[str, str]:
    from benchbox.backends.base import BACKENDS

    return {name: name for name in BACKENDS.names()}


def _computing() -> list[str]:
    """Backends that compute: the null backend tests the harness and is no choice for a person."""
    from benchbox.backends.base import BACKENDS

    return [name for name in BACKENDS.names() if not BACKENDS.get(name).virtual]


def _compilers() -> Iterable[str]:
    from benchbox.export.engines import compilers

    return compilers()


def _precisions() -> dict[str, Any]:
    from benchbox.schema.model import Precision

    return {precision.value: precision for precision in Precision}


def _modes() -> dict[str, Any]:
    from benchbox.schema.plan import Mode

    return {mode.value: mode for mode in Mode}


def _methods() -> dict[str, Any]:
    from benchbox.schema.derivation import CalibrationMethod

    return {method.value: method for method in CalibrationMethod if method is not CalibrationMethod.AWQ_CLIP}


def _tasks() -> dict[str, str]:
    from benchbox.models.libraries.tasks import TASKS

    return {name: name for name in TASKS}


def _titles() -> dict[str, str]:
    """Titles of columns, written with underscores: the shell takes words apart at blanks."""
    from benchbox.report.records.rows import titles_of_columns

    return {title.replace(" ", "_"): title for title in titles_of_columns()}


def _converters() -> dict[str, Any]:
    from benchbox.schema.derivation import Converter

    return {converter.value: converter for converter in Converter}


def _presets() -> dict[str, str]:
    from benchbox.measure.loop.presets import PRESETS

    return {name: name for name in PRESETS}


def _conventions() -> dict[str, str]:
    from benchbox.cost.conventions import OWN
    from benchbox.cost.counters import COUNTERS

    return {name: name for name in (*OWN, *COUNTERS)}


def _metrics() -> dict[str, str]:
    from benchbox.metrics.metric import METRICS

    return {name: name for name in METRICS.names()}


def _case_fields() -> dict[str, str]:
    import dataclasses

    from benchbox.schema.identity import CaseIdentity

    return {field.name: field.name for field in dataclasses.fields(CaseIdentity)}


def _formats() -> dict[str, str]:
    from benchbox.report.records.base import FORMATS

    return {name: name for name in FORMATS.names()}


def _forms() -> dict[str, str]:
    return {**_formats(), "html": "html"}


def _devices() -> dict[str, str]:
    from benchbox.machine.rates import device_names

    return {name: name for name in device_names()}


def _layers() -> dict[str, str]:
    from benchbox.backends.cuda.choice import LAYERS

    return {name: name for name in LAYERS}


def words(kind: str, *names: str) -> Word:
    """One of these words."""
    return Word(kind, lambda: {name: name for name in names})


COUNT = Count()
SECONDS = Number(
    "a positive number of seconds", lambda number: number > 0, remedy="without a unit, for example 0.05 for 50 ms"
)
SHARE = Number("a share from 0 to 1", lambda number: 0 <= number <= 1, remedy="0.9 is 90 %")
EFFECT = Number("a ratio between 0 and 1", lambda number: 0 < number < 1, remedy="for 3 %: 0.03")
RATIO = Number("a number between 0 and 1", lambda number: 0 < number < 1)
GIGA = Number("a positive number", lambda number: number > 0, scale=1e9)
RATE = Number(
    f"samples per second, above 0 and up to {MOST_RATE_PER_S:g}",
    lambda number: 0 < number <= MOST_RATE_PER_S,
    remedy="more than that cannot be issued from Python",
)
BACKEND = Word("backend", _backends, _computing)
CEILING_LIBRARY = Word("backend", lambda: {**_backends(), "numpy": "numpy"}, lambda: [*_computing(), "numpy"])
COMPILER = Word("backend", _backends, _compilers)
PRECISION = PrecisionWord("precision", _precisions)
MODE = Word("mode", _modes)
METHOD = Word("calibration method", _methods)
TASK = Word("task", _tasks)
CONVERTER = Word("converter", _converters)
PRESET = Word("preset", _presets)
CUDA_LAYER = Word("CUDA layer", _layers)
COLUMNS = Listed(Word("column", _titles))
METRIC = Word("metric", _metrics)
CASE_FIELD = Word("field of a case", _case_fields)
CONVENTION = Word("convention", _conventions)
FORMAT = Word("format", _formats)
FORMAT_OR_PAGE = Word("format", _forms)
DEVICE = Word("device", _devices)
TEXT = Kind()
BATCHES = Batches()
SHAPE = Shape()
CLOCK = Clock()
MODEL = Model()
