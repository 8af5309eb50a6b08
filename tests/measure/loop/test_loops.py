"""Timing, warm-up and sampling on a virtual clock, where everything that must come out is known."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from benchbox.backends.base import OpenRequest
from benchbox.backends.null import NullBackend, NullSession
from benchbox.measure.loop.modes import Issuer, issuer_for
from benchbox.measure.loop.sampling import median_half_width, sample
from benchbox.measure.loop.timing import isolated_block
from benchbox.measure.loop.warmup import SETTLING_BLOCKS, has_settled, warm_up
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode

SPEC = TensorSpec(name="input", dtype="float32", shape=(1, 4))


def session(**knobs: float) -> NullSession:
    request = OpenRequest(precision=Precision.FP32, threads=1, inputs=(SPEC,), outputs=(SPEC,), slots=4)
    return NullBackend(**knobs).open(request)  # type: ignore[arg-type]


def issuer(**knobs: float) -> Issuer:
    return issuer_for([session(**knobs)], plan())


def scripted(time_ns: Callable[[int], float]) -> Issuer:
    """Isolated inferences of which number n takes so many virtual nanoseconds."""
    opened = session()
    calls = iter(range(10**9))
    opened.enqueue = lambda _: opened.stopwatch.advance(round(time_ns(next(calls))))  # type: ignore[method-assign]
    return issuer_for([opened], plan())


def plan(**fields: float) -> MeasurementPlan:
    return MeasurementPlan(**fields)  # type: ignore[arg-type]


def test_a_block_times_each_inference_by_itself() -> None:
    times = isolated_block(session(inference_ns=500, jitter=0.0, cold_factor=1.0), 7, slots=4).times_ns
    assert times.tolist() == [500] * 7
    assert times.dtype == np.int64


def test_slots_are_taken_in_turn() -> None:
    opened = session(inference_ns=10)
    seen: list[int] = []
    opened.enqueue = seen.append  # type: ignore[method-assign,assignment]
    isolated_block(opened, 6, slots=4)
    assert seen == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_is_off_inside_and_as_before_afterwards(collecting: bool) -> None:
    opened = session()
    states: list[bool] = []
    opened.enqueue = lambda _: states.append(gc.isenabled())  # type: ignore[method-assign]
    (gc.enable if collecting else gc.disable)()
    try:
        isolated_block(opened, 3, slots=1)
        assert states == [False] * 3
        assert gc.isenabled() is collecting
    finally:
        gc.enable()


def test_the_collector_comes_back_after_an_error() -> None:
    opened = session()

    def fail(_: int) -> None:
        raise RuntimeError("no")

    opened.enqueue = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        isolated_block(opened, 3, slots=1)
    assert gc.isenabled()


def test_warm_up_lasts_for_the_longer_of_time_and_count() -> None:
    slow = warm_up(issuer(inference_ns=200_000_000, jitter=0.0, cold_factor=1.0), plan(warmup_s=0.5))
    assert len(slow.times_ns) == 10 + SETTLING_BLOCKS
    fast = warm_up(issuer(inference_ns=1_000_000, jitter=0.0, cold_factor=1.0), plan(warmup_s=0.5))
    assert 0.5e9 <= fast.times_ns.sum() < 1.1e9
    assert slow.settled
    assert fast.settled
    assert fast.typical_ns == 1_000_000


def test_warm_up_of_a_very_slow_network_ends() -> None:
    warm = warm_up(issuer(inference_ns=60_000_000_000, jitter=0.0, cold_factor=1.0), plan(max_time_s=10.0))
    assert len(warm.times_ns) == 2
    assert warm.typical_ns == 60_000_000_000


def test_warm_up_waits_until_times_no_longer_fall() -> None:
    """Getting faster by 3 % a block of 30 ms until 0.6 s: the fixed part would have ended at 0.1 s."""
    warm = warm_up(scripted(lambda n: 1e6 * max(1.0, 1.6 - n / 1000)), plan(warmup_s=0.1))
    assert warm.settled
    assert warm.times_ns[-1] == 1_000_000
    assert 0.6e9 < warm.times_ns.sum() < 1.5e9


def test_warm_up_of_what_never_settles_is_cut_and_told() -> None:
    warm = warm_up(scripted(lambda n: 1e6 * 1.01 ** (n / 10)), plan(warmup_s=0.1, warmup_max_s=0.5))
    assert not warm.settled
    assert warm.times_ns.sum() < 0.9e9


@pytest.mark.parametrize(
    "clocks_hz",
    [
        [1.98e9, 1.98e9, 1.98e9],
        [1.2e9, 1.4e9, 1.6e9, 1.8e9, 1.98e9, 1.975e9, 1.98e9],  # still rising behind times that stand
        [1.98e9, None, 1.98e9, 1.98e9],  # a look that told nothing is no third
    ],
)
def test_warm_up_waits_for_the_clock_of_a_device(clocks_hz: list[float | None]) -> None:
    looks = iter(clocks_hz)
    limits = plan(warmup_s=0.1, warmup_max_s=5.0)
    assert warm_up(scripted(lambda _: 1e6), limits, clock_hz=lambda: next(looks)).settled
    assert list(looks) == []


def test_a_clock_that_never_settles_is_told() -> None:
    clocks_hz = itertools.cycle([1.9e9, 1.7e9])
    limits = plan(warmup_s=0.1, warmup_max_s=0.5)
    assert not warm_up(scripted(lambda _: 1e6), limits, clock_hz=lambda: next(clocks_hz)).settled
    assert warm_up(scripted(lambda _: 1e6), limits, clock_hz=lambda: None).settled


def test_noise_settles_soon() -> None:
    draw = np.random.default_rng(1)
    blocks = [next(n for n in range(3, 99) if has_settled(list(draw.normal(1, 0.03, 99)[:n]))) for _ in range(300)]
    assert np.mean(blocks) < 5
    assert np.quantile(blocks, 0.99) <= 12


def test_what_is_left_of_the_warm_up_is_cut_afterwards() -> None:
    draw = np.random.default_rng(2)
    result = sample(
        scripted(lambda n: (1.3e6 if n < 60 else 1e6) * draw.normal(1, 0.001)),
        plan(min_time_s=0.5, max_time_s=0.6),
        typical_ns=1e6,
    )
    assert result.steady_from == 60
    assert len(result.times_ns) > 300, "nothing is deleted"


def test_sampling_stops_on_precision() -> None:
    result = sample(
        issuer(inference_ns=1_000_000, jitter=0.001, cold_factor=1.0),
        plan(min_time_s=0.5, max_time_s=20.0, target_half_width=0.01),
        typical_ns=1e6,
    )
    assert result.stopped_by == "precision"
    assert 0.5e9 <= result.times_ns.sum() < 1.0e9
    assert result.window_ns == result.times_ns.sum(), "virtual time passes only inside inferences"


def test_sampling_stops_at_the_maximum_time() -> None:
    result = sample(
        issuer(inference_ns=1_000_000, jitter=0.5, cold_factor=1.0),
        plan(min_time_s=0.1, max_time_s=1.0, target_half_width=1e-6),
        typical_ns=1e6,
    )
    assert result.stopped_by == "max_time"
    assert 1.0e9 <= result.times_ns.sum() < 1.2e9


@pytest.mark.parametrize(("like", "looks"), [("", 10), ("trtexec-11", 2)])
def test_looks_are_fewer_where_another_tool_is_followed(like: str, looks: int) -> None:
    """Each drains the pipeline, which the other tool never does: every 0.2 s, and every second."""
    seen: list[int] = []
    steady = issuer(inference_ns=10_000_000, jitter=0.0, cold_factor=1.0)
    like_it = MeasurementPlan(min_time_s=2.0, max_time_s=2.0, min_samples=3, like=like)
    sample(steady, like_it, typical_ns=1e7, look=lambda: seen.append(1))
    assert len(seen) == looks


def test_a_very_slow_network_still_gives_a_few_samples() -> None:
    result = sample(
        issuer(inference_ns=30_000_000_000, jitter=0.0, cold_factor=1.0),
        plan(min_time_s=2.0, max_time_s=10.0),
        typical_ns=3e10,
    )
    assert len(result.times_ns) == 3
    assert result.stopped_by == "max_time"


def test_a_typical_time_that_was_far_too_long_is_corrected() -> None:
    result = sample(
        issuer(inference_ns=1000, jitter=0.01, cold_factor=1.0),
        plan(min_time_s=0.001, max_time_s=0.01, min_samples=30),
        typical_ns=1e9,
    )
    assert result.times_ns.sum() >= 0.001e9
    assert len(result.times_ns) >= 30


def test_half_width_of_the_median() -> None:
    assert median_half_width(np.full(100, 50, dtype=np.int64)) == 0
    assert median_half_width(np.arange(3, dtype=np.int64)) == math.inf
    drifting = np.arange(1000, 2000, dtype=np.int64)
    settled = np.random.default_rng(0).normal(1500, 10, 1000).astype(np.int64)
    assert median_half_width(drifting) > 10 * median_half_width(settled)


def test_correlated_samples_do_not_fake_precision() -> None:
    """Slow waves make neighbours alike: the interval from blocks sees them, one from single samples would not."""
    draw = np.random.default_rng(0)
    wave = 1000 + 50 * np.sin(np.arange(2000) / 150) + draw.normal(0, 5, 2000)
    shuffled = draw.permutation(wave)
    assert median_half_width(wave.astype(np.int64)) > 3 * median_half_width(shuffled.astype(np.int64))


@pytest.mark.parametrize("group", [1, 10, 1000])
def test_blocks_of_the_warm_up_last_as_long_whatever_the_group(group: int) -> None:
    """Of groups of an inference of 50 us, as of single ones: some 30 ms a block, or a group where that is longer."""
    opened = session(inference_ns=50_000, jitter=0.0, cold_factor=1.0)
    asked = plan(mode=Mode.BATCHED, group=group, warmup_s=0.1)  # type: ignore[arg-type]
    made = issuer_for([opened], asked)
    start = made.now_ns()
    warm = warm_up(made, asked)
    assert warm.settled
    spent_s = (made.now_ns() - start) * 1e-9
    fixed_s = max(2 * 0.1, 2 * asked.warmup_iterations * group * 50e-6)
    assert spent_s <= fixed_s + SETTLING_BLOCKS * max(0.03, group * 50e-6) + 1e-3
    assert warm.typical_ns == pytest.approx(group * 50_000, rel=0.01)


def _board(power_w: Callable[[float], float]) -> tuple[Issuer, Callable[[], float]]:
    """Inferences of 10 ms, and the power of a board after so many virtual seconds."""
    run = issuer(inference_ns=10_000_000, jitter=0.0, cold_factor=1.0)
    return run, lambda: power_w(run.now_ns() * 1e-9)


def test_warm_up_of_a_device_lasts_until_its_power_is_level() -> None:
    """A board of 72 W that draws more for 4 s, while its inferences all take the same time."""
    run, power_w = _board(lambda second: 72.0 if second > 4 else 110.0 - 5 * second)
    warm = warm_up(run, plan(warmup_s=3.0, warmup_max_s=10.0), power_w=power_w)
    assert warm.settled
    assert 5.0 <= warm.times_ns.sum() * 1e-9 <= 5.5, "level is what was so a second ago"


def test_warm_up_of_a_device_whose_power_never_levels_ends_and_says_so() -> None:
    run, power_w = _board(lambda second: 50.0 * 1.1**second)
    warm = warm_up(run, plan(warmup_s=3.0, warmup_max_s=4.0), power_w=power_w)
    assert not warm.settled
    assert 7.0 <= warm.times_ns.sum() * 1e-9 <= 7.5


def test_a_quick_warm_up_asks_for_no_power_and_no_device_for_none() -> None:
    run, power_w = _board(lambda second: 50.0 * 1.1**second)
    assert warm_up(run, plan(warmup_s=0.1), power_w=power_w).settled
    assert warm_up(issuer(), plan(warmup_s=1.0), power_w=lambda: None).settled


def test_two_steps_of_a_clock_are_level() -> None:
    clocks = iter([1.095e9, 1.125e9] * 1000)
    assert warm_up(issuer(jitter=0.0), plan(warmup_s=0.1), clock_hz=lambda: next(clocks)).settled
    wide = iter([1.05e9, 1.1e9] * 1000)
    assert not warm_up(issuer(jitter=0.0), plan(warmup_s=0.1), clock_hz=lambda: next(wide)).settled
