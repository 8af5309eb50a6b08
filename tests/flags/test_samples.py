"""Each flag of the samples' shape, raised where it must be and not raised beside it."""

from __future__ import annotations

import numpy as np
import pytest
from builders import trial

from benchbox.flags.samples import flags_of_samples, movement
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Severity
from benchbox.schema.trial import Trial

DRAW = np.random.default_rng(7)
LEVEL = DRAW.normal(1e6, 5e3, 400)
RAMP = np.linspace(1, 1.05, 400)
STEP = np.where(np.arange(400) < 150, 1.0, 1.04)


def of(values: np.ndarray, number: int = 0, **fields: object) -> Trial:
    return trial(number=number, samples_ns=tuple(values.astype(int).tolist()), **fields)


def codes(trials: list[Trial], **plan: object) -> dict[str, Severity]:
    found = flags_of_samples(trials, MeasurementPlan(**plan))  # type: ignore[arg-type]
    return {flag.code: flag.severity for flag in found}


def bimodal() -> np.ndarray:
    slow = DRAW.random(400) < 0.3
    return LEVEL * np.where(slow, 1.2, 1.0)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("NOT_STEADY", of(LEVEL, settled=False)),
        ("NOT_STEADY", of(LEVEL * RAMP, steady_from=200)),
        ("DRIFT", of(LEVEL * RAMP)),
        ("LEVEL_SHIFT", of(LEVEL * STEP)),
        ("BIMODAL", of(bimodal())),
    ],
)
def test_each_is_raised_where_half_of_the_processes_show_it(code: str, shown: Trial) -> None:
    calm = of(LEVEL)
    assert codes([shown, calm])[code] is Severity.WARNING
    assert codes([shown, shown, calm])[code] is Severity.WARNING
    assert code not in codes([shown, calm, calm])


@pytest.mark.parametrize(
    ("near", "far"),
    [
        ({"floor_ns": 101_000}, {"floor_ns": 99_000}),
        (
            {"gpu_ns": (9_900,) * 400, "gpu_floor_ns": 1_000},
            {"gpu_ns": (10_100,) * 400, "gpu_floor_ns": 1_000},
        ),
    ],
)
def test_times_near_the_harness_own(near: dict[str, object], far: dict[str, object]) -> None:
    assert codes([of(LEVEL, **near)]) == {"NEAR_FLOOR": Severity.WARNING}
    assert codes([of(LEVEL, **far)]) == {}


def test_a_calm_case_raises_nothing() -> None:
    assert codes([of(LEVEL, floor_ns=150, gpu_ns=(900_000,) * 400, gpu_floor_ns=1000)]) == {}
    assert codes([]) == {}


def test_noise_alone_raises_nothing() -> None:
    """Of 200 cases of three processes with 3 % of noise and rare spikes, at most a few are flagged."""
    flagged = 0
    for _ in range(200):
        trials = []
        for number in range(3):
            values = DRAW.normal(1e6, 3e4, 300)
            values[DRAW.integers(0, 300, 3)] *= 20
            trials.append(of(values, number))
        flagged += bool(codes(trials))
    assert flagged <= 4


def test_a_cut_at_half_of_level_samples_is_no_restlessness() -> None:
    """One giant outlier late in a series makes MSER-5 cut as much as it may."""
    assert codes([of(LEVEL, steady_from=200)]) == {}


def test_movement_tells_a_drift_from_a_shift() -> None:
    kind, change = movement(tuple((LEVEL * RAMP).astype(int)))
    assert kind == "drift"
    assert change == pytest.approx(0.05, abs=0.01)
    kind, change = movement(tuple((LEVEL / STEP).astype(int)))
    assert kind == "shift"
    assert change == pytest.approx(-0.04, abs=0.01)
    assert movement(tuple((LEVEL * np.linspace(1, 1.005, 400)).astype(int)))[0] == "", "less than a hundredth"
    assert movement((1, 2, 3)) == ("", 0.0)


def test_groups_are_not_near_the_floor_of_single_inferences() -> None:
    near = of(LEVEL, floor_ns=150_000)
    assert codes([near], mode=Mode.BATCHED) == {}


@pytest.mark.parametrize(("code", "gpu"), [("DRIFT", LEVEL * RAMP), ("BIMODAL", bimodal())])
def test_the_device_alone_shows_it(code: str, gpu: np.ndarray) -> None:
    """Host times may hide in their own noise what the device's clock tells."""
    assert code in codes([of(LEVEL, gpu_ns=tuple(gpu.astype(int).tolist()))])
    assert code not in codes([of(LEVEL, gpu_ns=tuple(LEVEL.astype(int).tolist()))])


@pytest.mark.parametrize("shown", [of(LEVEL, settled=False), of(LEVEL * RAMP), of(LEVEL * STEP), of(bimodal())])
def test_each_says_how_bad_it_is(shown: Trial) -> None:
    """The worst of several cases is the one that notes are about."""
    assert all(flag.size for flag in flags_of_samples([shown], MeasurementPlan()))


@pytest.mark.parametrize(("quick", "advice"), [(True, "run without --quick"), (False, "use a longer --max-time")])
def test_advice_knows_what_was_asked(quick: bool, advice: str) -> None:
    (flag,) = flags_of_samples([of(LEVEL, settled=False)], MeasurementPlan(), quick=quick)
    assert advice in flag.message
