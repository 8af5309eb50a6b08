"""Which flags let a profiler see what workers do?

Handed on in the environment, as workers read it there: ``measure/process/profiling.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def profiling_options(function: F) -> F:
    """``--nvtx`` and ``--profile-command``; raises EnvironmentLackError where NVTX or the profiler is missing."""

    def mark(_: click.Context, __: click.Parameter, asked: bool) -> None:
        if asked:
            from benchbox.measure.process.profiling import NVTX_VARIABLE, require_profiling

            os.environ[NVTX_VARIABLE] = "1"
            require_profiling()

    def command(_: click.Context, __: click.Parameter, text: str | None) -> None:
        if text is not None:
            from benchbox.measure.process.profiling import NVTX_VARIABLE, PROFILE_VARIABLE, require_profiling

            os.environ[NVTX_VARIABLE], os.environ[PROFILE_VARIABLE] = "1", text
            require_profiling()

    function = click.option(
        "--profile-command",
        metavar="CMD",
        expose_value=False,
        callback=command,
        help="Start every timed process by this command, for example 'nsys profile -c cudaProfilerApi -o out', with "
        "--nvtx; its numbers are void (PROFILED).",
    )(function)
    return click.option(
        "--nvtx",
        is_flag=True,
        expose_value=False,
        callback=mark,
        help="Name check, warm-up, blocks and inferences for profilers, and switch the profiler API on around what is "
        "timed (NVTX_MARKED).",
    )(function)
