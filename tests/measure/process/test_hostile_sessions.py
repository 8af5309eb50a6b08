"""Networks that change their outputs or leak while they are timed, in processes of their own, and ones that do not."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from builders import seen, trial

from benchbox.export.exporting import artifact_from_source
from benchbox.flags.case import flags_of
from benchbox.measure.process.leaks import steady_growth
from benchbox.measure.process.outputs import digest_of, outputs_seen
from benchbox.measure.process.trials import TrialRequest, run_trial
from benchbox.models.sources import resolve
from benchbox.schema.artifact import Hop
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import OutputsSeen, Pass, Trial
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs
from benchbox.store.documents import plain, value_from_plain

PLAN = MeasurementPlan(
    threads=1, warmup_s=0.01, warmup_max_s=0.05, min_time_s=0.02, max_time_s=0.1, timeout_s=120.0, min_samples=20
)
# The check runs a few samples once; whatever is timed runs more often than this.
LATER = 15
NETWORKS = f"""
    import os, time
    import torch
    class Net(torch.nn.Module):
        def __init__(self, act):
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)
            self.act, self.calls, self.kept = act, 0, []
        def forward(self, x):
            made = self.layer(x)
            if "BENCHBOX_TEST_ACTS" in os.environ:
                self.calls += 1
                made = self.act(self, made)
            return made
    def steady(): return Net(lambda net, y: y)
    def nan_later(): return Net(lambda net, y: y * float("nan") if net.calls > {LATER} else y)
    def drifting(): return Net(lambda net, y: y * (1 + 0.01 * net.calls) if net.calls > {LATER} else y)
    def last_bits(): return Net(lambda net, y: y * (1 + 2e-7 * (net.calls % 7)))
    def restarting():
        return Net(lambda net, y: y * (1 + 2e-7 * (os.getpid() % 64)))
    def leaking():
        def act(net, y):
            time.sleep(0.001)
            net.kept.append(torch.ones(32768))
            return y
        return Net(act)
    def growing_once():
        def act(net, y):
            time.sleep(0.001)
            if net.calls == 40:
                net.kept.append(torch.ones(4 << 20))
            return y
        return Net(act)
"""


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Trial]]:
    root = tmp_path_factory.mktemp("hostile")
    (root / "hostile_networks.py").write_text(textwrap.dedent(NETWORKS))

    def source(way: str) -> ModelSource:
        return resolve(f"hostile_networks:{way}", input_shape=(4,), weights=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        # Outside a worker all of them are the same network with the same seeded weights.
        artifact = artifact_from_source(source("steady"), precision=Precision.FP32, root=root)

        def run(way: str, *, pass_: Pass = Pass.TIMING, **fields: object) -> Trial:
            request = TrialRequest(
                pass_=pass_,
                number=0,
                backend="pytorch",
                precision=Precision.FP32,
                plan=dataclasses.replace(PLAN, **fields),  # type: ignore[arg-type]
                artifact=artifact,
                source=source(way),
                root=root,
            )
            # Only now they are what they are called.
            with pytest.MonkeyPatch.context() as acts:
                acts.setenv("BENCHBOX_TEST_ACTS", "1")
                return run_trial(request)

        yield run


def flags(*trials: Trial, code: str) -> list[Flag]:
    return [flag for flag in flags_of(seen(list(trials))) if flag.code == code]


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("mode", [Mode.ISOLATED, Mode.BATCHED, Mode.CONCURRENT])
def test_a_steady_network_changes_nothing(mode: Mode, timed: Callable[..., Trial]) -> None:
    found = timed("steady", mode=mode)
    assert found.outputs is not None
    assert len(found.outputs.sha256) == 64
    assert found.outputs.change is None
    assert found.outputs.reference.passed
    assert flags(found, code="OUTPUT_CHANGED") == []
    assert flags(found, code="LEAK") == []
    assert "host_growth_bytes" in found.counters


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(("way", "words"), [("nan_later", "NaN"), ("drifting", "relative L2 error")])
def test_outputs_that_go_wrong_while_they_are_timed(way: str, words: str, timed: Callable[..., Trial]) -> None:
    checked = timed(way, pass_=Pass.CHECK)
    assert checked.hop is not None
    assert checked.hop.passed, "the check comes too early to see it"
    found = timed(way)
    assert found.outputs is not None
    assert not found.outputs.reference.passed
    (flag,) = flags(found, code="OUTPUT_CHANGED")
    assert flag.severity is Severity.ERROR
    assert words in flag.message
    assert "1 of 1 processes" in flag.message


@pytest.mark.usefixtures("one_process")
def test_last_bits_are_told_and_no_error(timed: Callable[..., Trial]) -> None:
    found = timed("last_bits")
    assert found.outputs is not None
    assert found.outputs.reference.passed
    if found.outputs.change is None:  # the same of seven variants by chance
        found = dataclasses.replace(found, outputs=dataclasses.replace(found.outputs, sha256="another"))
        (flag,) = flags(found, timed("last_bits"), code="OUTPUT_CHANGED")
    else:
        assert 0 < found.outputs.change.rel_l2_error < 1e-5
        (flag,) = flags(found, code="OUTPUT_CHANGED")
    assert flag.severity is Severity.INFO


def test_bits_that_differ_from_process_to_process(timed: Callable[..., Trial]) -> None:
    one, other = timed("restarting"), timed("restarting")
    assert one.outputs is not None
    assert other.outputs is not None
    assert one.outputs.change is other.outputs.change is None
    found = flags(one, other, code="OUTPUT_CHANGED")
    assert [flag.severity for flag in found] == [Severity.INFO] * (one.outputs.sha256 != other.outputs.sha256)


def test_a_leak_is_found_and_measured(timed: Callable[..., Trial]) -> None:
    found = timed("leaking")
    assert found.counters["host_leak_bytes"] == pytest.approx(131072, rel=0.2)
    (flag,) = flags(found, code="LEAK")
    assert flag.severity is Severity.WARNING
    assert "host memory grew" in flag.message


def test_what_grows_once_is_no_leak(timed: Callable[..., Trial]) -> None:
    found = timed("growing_once")
    assert "host_leak_bytes" not in found.counters
    assert flags(found, code="LEAK") == []


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([0, *(100_000 * (n + 1) for n in range(8))], 100_000),
        ([0, *(100_000 * (n + 1) for n in range(6)), 600_000, 800_000], 100_000),
        ([0, *[5_000_000] * 8], None),  # an arena grows once
        ([0, 2_000_000, 4_000_000, *[4_000_000] * 6], None),
        ([0, *(4096 * (n + 1) for n in range(8))], None),  # a page now and then
        ([8_000_000 - 1_000_000 * n for n in range(9)], None),
    ],
)
def test_steady_growth(marks: list[int], expected: float | None) -> None:
    assert steady_growth(marks) == expected


def outputs(*values: float) -> list[dict[str, np.ndarray]]:
    return [{"y": np.array([values], dtype=np.float32)}]


def hop(first: list[dict[str, np.ndarray]], last: list[dict[str, np.ndarray]]) -> Hop:
    return hop_from_outputs("a", "b", first[0], last[0], TOLERANCES[Precision.FP32])


RIGHT = hop(outputs(1, 2), outputs(1, 2))


@pytest.mark.parametrize(
    ("last", "severity"),
    [
        (outputs(1, 2, 3), None),
        (outputs(1, 2, 3.0000002), Severity.INFO),
        (outputs(1, 2, 4), Severity.ERROR),
        (outputs(1, 2, math.nan), Severity.ERROR),
        (outputs(1, 2, -math.inf), Severity.ERROR),
        (outputs(1, 2), Severity.ERROR),
    ],
)
def test_severity_follows_the_tolerance(last: list[dict[str, np.ndarray]], severity: Severity | None) -> None:
    made = outputs_seen(outputs(1, 2, 3), last, precision=Precision.FP32, reference=RIGHT)
    found = flags(trial(outputs=made), trial(number=1), code="OUTPUT_CHANGED")
    assert [flag.severity for flag in found] == ([severity] if severity else [])
    assert value_from_plain(OutputsSeen, plain(made), origin="here") == made


def test_nan_that_never_changes_is_seen_too() -> None:
    """The samples of the check were finite, the inputs that are timed are others."""
    made = outputs_seen(outputs(math.nan), outputs(math.nan), precision=Precision.FP32, reference=RIGHT)
    assert made.change is not None
    assert not made.change.passed


def test_a_session_among_several_that_changes() -> None:
    both = [*outputs(1, 2), *outputs(3, 4)]
    made = outputs_seen(both, [both[0], outputs(3, 5)[0]], precision=Precision.FP32, reference=RIGHT)
    assert made.change is not None
    assert not made.change.passed


def test_digests_are_of_bits_names_and_shapes() -> None:
    one = {"y": np.zeros((2, 3), np.float32)}
    same = {"y": np.zeros((2, 3), np.float32)}
    others = [
        {"z": np.zeros((2, 3), np.float32)},
        {"y": np.zeros((3, 2), np.float32)},
        {"y": np.zeros((2, 3), np.int32)},
        {"y": np.array([[0, 0, 0], [0, 0, -0.0]], np.float32)},
    ]
    assert digest_of([one]) == digest_of([same])
    assert len({digest_of([each]) for each in [one, *others]}) == 5


def test_different_digests_of_stable_processes_are_information() -> None:
    made = [
        trial(number=number, outputs=OutputsSeen(sha256=digest, change=None, reference=RIGHT))
        for number, digest in enumerate(["a", "b", "b"])
    ]
    (flag,) = flags(*made, code="OUTPUT_CHANGED")
    assert flag.severity is Severity.INFO
    assert "2 different sets of bits in 3 processes" in flag.message
    assert flags(*made[1:], code="OUTPUT_CHANGED") == []
