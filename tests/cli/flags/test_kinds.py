"""Every flag of every command: its text is read at the border, and a wrong one is a usage error that names it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbox.cli import cli
from benchbox.cli.flags import kinds
from benchbox.cli.flags.kinds import BATCHES, COUNT, PRECISION, SECONDS, Count, Listed, Number, Word
from benchbox.errors import UsageError
from benchbox.schema.model import Precision


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield name, parameter


OPTIONS = list(options())


def having(kind: type) -> list[tuple[str, str]]:
    return [(name, max(option.opts, key=len)) for name, option in OPTIONS if isinstance(option.type, kind)]


@pytest.mark.parametrize(("command", "flag"), having(Listed), ids="".join)
@pytest.mark.parametrize("text", [",", "", " , "])
def test_an_empty_list_is_a_usage_error(command: str, flag: str, text: str, benchbox: Callable) -> None:
    ran = benchbox(command, flag, text)
    assert ran.status == 2
    assert f"{flag} is empty" in ran.err


@pytest.mark.parametrize(("command", "flag"), having(Number), ids="".join)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "-1", "much", ""])
def test_a_number_is_finite(command: str, flag: str, text: str, benchbox: Callable) -> None:
    ran = benchbox(command, f"{flag}={text}")
    assert ran.status == 2
    assert f"{flag} takes " in ran.err
    assert f"got '{text}'" in ran.err


@pytest.mark.parametrize(("command", "flag"), having(Count), ids="".join)
@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "²"])
def test_a_count_is_whole_and_positive(command: str, flag: str, text: str, benchbox: Callable) -> None:
    ran = benchbox(command, f"{flag}={text}")
    assert ran.status == 2
    assert f"{flag} takes whole numbers of at least 1" in ran.err


@pytest.mark.parametrize(("command", "flag"), having(Word), ids="".join)
def test_an_unknown_name_is_answered_with_the_nearest(command: str, flag: str, benchbox: Callable) -> None:
    (kind,) = [option.type for name, option in OPTIONS if name == command and flag in option.opts]
    assert isinstance(kind, Word)
    near = next(iter(kind.names()))
    ran = benchbox(command, flag, f"{near}x")
    assert ran.status == 2
    assert "did you mean" in ran.err
    assert near in ran.err


def test_there_are_flags_of_every_kind() -> None:
    assert all(having(kind) for kind in (Listed, Number, Count, Word))


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda value: getattr(value, "name", value))
def test_help_of_a_list_shows_an_example(command: str, option: click.Option) -> None:
    if option.metavar and option.metavar.endswith(",..."):
        assert "for example" in (option.help or ""), f"{command} {option.opts}"


@given(st.floats())
def test_seconds_are_positive_and_finite(number: float) -> None:
    if math.isfinite(number) and number > 0:
        assert SECONDS.parse(repr(number), flag="--timeout") == number
    else:
        with pytest.raises(UsageError, match="--timeout takes a positive number of seconds"):
            SECONDS.parse(repr(number), flag="--timeout")


def test_giga_is_scaled_and_stays_finite() -> None:
    assert kinds.GIGA.parse("300", flag="--bandwidth") == 300e9
    with pytest.raises(UsageError):
        kinds.GIGA.parse("1e300", flag="--bandwidth")


def test_lists_keep_their_order_without_repeats() -> None:
    assert Listed(COUNT).parse("1, 8,1", flag="--batch") == (1, 8)
    assert Listed(PRECISION).parse("int8,fp32", flag="--precision") == (Precision.INT8, Precision.FP32)


@pytest.mark.parametrize("name", ["uint4", "NVFP4", "mxfp8"])
def test_formats_of_four_bits_are_refused_with_the_reason(name: str) -> None:
    """Not as misspelt ones: what they are, who makes them, and how an engine in them is measured all the same."""
    with pytest.raises(UsageError, match=f"--precision {name} cannot be made here") as error:
        Listed(PRECISION).parse(f"fp16,{name}", flag="--precision")
    assert "ModelOpt" in error.value.values
    assert "--precision int4 --converter modelopt" in error.value.remedy
    assert "benchbox run net.plan" in error.value.remedy


def test_batch_ranges() -> None:
    assert BATCHES.parse("1:4:8", flag="--batch").optimum == 4
    assert BATCHES.parse("3", flag="--batch").maximum == 3
    for wrong in ("8:4:1", "1:2", "1:2:3:4", "a:b:c", "", "0:1:2"):
        with pytest.raises(UsageError, match="--batch"):
            BATCHES.parse(wrong, flag="--batch")


def completed(command: str, flag: str, incomplete: str) -> list[str]:
    (option,) = [option for name, option in OPTIONS if name == command and flag in option.opts]
    return [item.value for item in option.shell_complete(click.Context(cli), incomplete)]


def test_the_shell_completes_values() -> None:
    assert completed("run", "--precision", "fp32,fp") == ["fp32,fp16", "fp32,fp8", "fp32,fp64"]
    assert completed("run", "--backend", "onnxruntime,openv") == ["onnxruntime,openvino"]
    assert completed("run", "--mode", "multi") == ["multi-stream"]
    assert completed("build", "--backend", "") == ["tensorrt", "tensorrt-rtx"]
    assert completed("layers", "--sort", "") == ["executed", "time"]
    assert "latency_p50" in completed("compare", "--metric", "latency_p")
