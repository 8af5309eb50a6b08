"""Before a run: which conditions of this machine will disturb any measurement on it?

Shown by ``benchbox doctor``, and not repeated in records: what really disturbed a run is flagged by its own counters
(``case.py``, ``gpu.py``), and every record holds the environment that these are derived from.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchbox.flags.energy import clocks_not_locked
from benchbox.schema.environment import Environment
from benchbox.schema.reading import Flag, Severity
from benchbox.units import format_percent

LOAD_PER_CPU = 0.5
# Share of the last 10 s in which some task waited for a CPU.
PRESSURE_PERCENT = 10.0


def standing_flags(environment: Environment) -> tuple[Flag, ...]:
    """Every such condition, with what to do about it.

    Args:
        environment: captured before this process touched a GPU: it would count itself among those who use it.
    """
    return (*_host(environment), *_gpu(environment))


def _host(environment: Environment) -> Iterator[Flag]:
    hardware, observed = environment.hardware, environment.observed
    if hardware.get("hypervisor") == "yes":
        kind = hardware.get("hypervisor_kind", "")
        yield _info(
            "VIRTUALIZED",
            f"a virtual machine{f' ({kind})' if kind else ''}: other guests may take CPU time and the hypervisor may "
            "move virtual CPUs; compare with --ab, on one thread (--threads 1), or on a dedicated machine",
        )
    if changing := _changing_clocks(environment):
        yield _info(
            "GOVERNOR",
            f"{changing}: clocks may change during a run; as root: pip install pyperf, python -m pyperf system tune",
        )
    if hardware.get("aslr") == "off":
        yield _info(
            "ASLR_OFF",
            "addresses are not randomised: all processes have the same memory layout, whose effect no interval "
            "shows; switch it on (sysctl kernel.randomize_va_space=2)",
        )
    load, pressure = observed.get("load_1min", ""), observed.get("pressure_cpu", "").removesuffix(" %")
    busy = _number(load) > LOAD_PER_CPU * int(hardware.get("cpus_allowed", "1"))
    if busy or _number(pressure) > PRESSURE_PERCENT:
        share = format_percent(_number(pressure) / 100)
        waiting = f", tasks waited for a CPU in {share} of the last 10 s" if pressure else ""
        yield Flag(
            code="LOADED",
            severity=Severity.WARNING,
            message=f"the load average is {load}{waiting}: stop other work before measuring",
        )
    if low := observed.get("low_priority"):
        yield Flag(
            code="LOW_PRIORITY",
            severity=Severity.WARNING,
            message=f"this process is scheduled with low priority ({low}): all other work goes first; start it "
            "without nice or chrt, and a Ray node with RAY_worker_niceness=0",
        )


def _changing_clocks(environment: Environment) -> str:
    hardware = environment.hardware
    governor = hardware.get("governor", "unknown")
    parts = [] if governor == "performance" else [f"the CPU frequency governor is {governor}"]
    if governor == "unknown":  # in a virtual machine there is none to set: the clocks are the host's
        parts = [] if hardware.get("hypervisor") == "yes" else ["the CPU frequency governor cannot be read"]
    parts += ["turbo is on"] if hardware.get("turbo") == "on" else []
    parts += ["two threads share a core (SMT)"] if hardware.get("smt") == "on" else []
    return ", ".join(parts)


def _gpu(environment: Environment) -> Iterator[Flag]:
    hardware, observed = environment.hardware, environment.observed
    if "gpu" not in hardware:
        return
    if "gpu_clocks" not in hardware:
        yield clocks_not_locked()
    others = int(_number(observed.get("gpu_processes", "0")))
    reasons = [f"{others} other process{'es' * (others != 1)} on the GPU"] if others else []
    reasons += ["MPS shares it"] if _number(observed.get("gpu_mps_processes", "0")) else []
    reasons += ["it is divided (MIG)"] if hardware.get("gpu_mig") == "1" else []
    if reasons:
        yield Flag(
            code="GPU_SHARED",
            severity=Severity.WARNING,
            message=f"{', '.join(reasons)}: stop that before measuring; numbers are void otherwise",
        )
    limit, usual = hardware.get("gpu_power_limit_w", ""), hardware.get("gpu_power_limit_default_w", "")
    if limit and usual and _number(limit) < _number(usual):
        yield _info(
            "POWER_LIMIT_LOWERED",
            f"the GPU may draw {limit} W, its default is {usual} W: heavy work is slower (nvidia-smi -pl {usual})",
        )
    if hardware.get("gpu_persistence") == "0":
        yield _info(
            "PERSISTENCE_OFF",
            "the driver unloads while no process uses the GPU: the first process pays for loading it, and counters "
            "are reset (nvidia-smi -pm 1)",
        )
    if hardware.get("gpu_confidential_compute") not in {None, "0"}:
        yield Flag(
            code="CONF_COMPUTE",
            severity=Severity.WARNING,
            message="confidential computing is on: event times are unreliable, numbers will be void",
        )
    if "gpu_remapped_rows" in observed:
        yield Flag(
            code="REMAPPED_ROWS",
            severity=Severity.WARNING,
            message=f"rows of GPU memory were remapped: {observed['gpu_remapped_rows']}; reset the GPU if some are "
            "pending, replace it if it continues",
        )


def _number(text: str) -> float:
    """A number that was captured as text, 0 where there is none."""
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0


def _info(code: str, message: str) -> Flag:
    return Flag(code=code, severity=Severity.INFO, message=message)
