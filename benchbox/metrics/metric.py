"""What is a metric: which pass does it need, and what value does one process give?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchbox.metrics.workload import Workload
from benchbox.registry import Registry
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One column of the records, registered in ``METRICS`` by its file in ``metrics/``.

    ``value`` turns one trial of the pass ``pass_`` into one positive number in ``unit``. ``applies`` says whether a
    trial has it at all: a device's times are no metric of a CPU. ``asked`` says which trials of the pass are taken for
    it, where processes of one pass measure different things. Where one process replicates within itself, as windows
    of energy do, ``replicates`` gives those values and ``value`` their mean. ``method`` is for the reading.
    ``on_paper`` metrics divide the analytical FLOPs: a workload without any has none of them.
    """

    name: str
    unit: str
    better: Better
    pass_: Pass
    value: Callable[[Trial, Workload], float]
    applies: Callable[[Trial], bool] = lambda _: True
    asked: Callable[[Trial], bool] = lambda _: True
    replicates: Callable[[Trial, Workload], Sequence[float]] | None = None
    method: Callable[[Trial], str] = lambda _: ""
    on_paper: bool = False

    def taken(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials that it is a metric of."""
        return [trial for trial in trials if trial.pass_ is self.pass_ and self.asked(trial)]

    def fits(self, workload: Workload) -> bool:
        """Whether the metric means anything for a workload."""
        return workload.flops > 0 or not self.on_paper


METRICS: Registry[Metric] = Registry("metric", "benchbox.metrics")


def issued_by(trial: Trial) -> str:
    """What issued the requests of a trial where benchbox did not: a part of its readings' methods."""
    return f"LoadGen {trial.loadgen.version}" if trial.loadgen is not None else ""


def steady(trial: Trial, values: Sequence[int]) -> Sequence[int]:
    """The part of a trial's per-inference values that no longer belongs to the warm-up.

    Args:
        trial: says from which sample on.
        values: ``samples_ns``, or the device's times of the same inferences (a whole number of values a sample).
    """
    each = len(values) // max(1, len(trial.samples_ns))
    return values[trial.steady_from * max(1, each) :]
