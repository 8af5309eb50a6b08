"""Rates from times, levels from sizes, the best of libraries, and what is said of them: on made-up numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from ceilings_made import bandwidth, ceilings, compute

from benchbox.backends.base import BACKENDS
from benchbox.cost.counting import cost_from_graph
from benchbox.export.one_operator import convolution_artifact, gemm_artifact, moved_bytes, stream_artifact
from benchbox.flags.ceilings import above_ceiling, dropped, not_held
from benchbox.graph.graph import graph_from_file
from benchbox.machine.caches import Caches, caches_of
from benchbox.machine.rates import device_from_ceilings
from benchbox.measure.ceilings.compute import Subject, Timings, best_of, ceiling_of, why_not, why_unproven
from benchbox.measure.ceilings.effort import dram_bytes, passes_of, quick_effort, usual_effort
from benchbox.measure.ceilings.memory import Stream, bandwidths_of, traffic_flags
from benchbox.measure.ceilings.native import ADD, ARRAYS, SCALE, StreamRequest, kernel_over, streams_from_request
from benchbox.measure.ceilings.pace import Timed
from benchbox.report.views.ceilings import render_ceilings
from benchbox.schema.device import Level, NoCeiling, Pace
from benchbox.schema.model import Precision
from benchbox.schema.proof import Proof
from benchbox.stats.inputs import arrays_of_samples

CACHES = Caches(l1=32 << 10, l2=512 << 10, llc=32 << 20)


def test_burst_is_the_median_of_the_five_fastest_and_sustained_the_mean_of_the_window() -> None:
    timed = Timed(before_ns=(900, 50), window_ns=(100, 40, 60, 70, 80))
    assert timed.seconds(Pace.BURST) == pytest.approx(60e-9)
    assert timed.seconds(Pace.SUSTAINED) == pytest.approx(70e-9)


@pytest.mark.parametrize(
    ("times", "by"),
    [((100,) * 80, None), ((100,) * 40 + (125,) * 40, 0.2), ((100,) * 15, None), ((100,) * 70 + (110,) * 10, 0.09)],
    ids=["held", "fell", "too few to tell", "one eighth"],
)
def test_a_rate_was_held_or_by_how_much_it_was_not(times: tuple[int, ...], by: float | None) -> None:
    seen = Timed(before_ns=(), window_ns=times).unsteady
    assert (seen is None) if by is None else seen == pytest.approx(by, abs=0.03)


@pytest.mark.parametrize(
    ("share", "level"),
    [
        (16 << 10, Level.L1), (32 << 10, Level.L1), (40 << 10, None), (128 << 10, Level.L2), (500 << 10, None),
        (2 << 20, Level.LLC), (12 << 20, None), (64 << 20, Level.DRAM),
    ],
)  # fmt: skip
def test_a_working_set_is_of_one_level_or_of_none(share: int, level: Level | None) -> None:
    """Of two threads: caches of a core hold its share, the last one both."""
    assert CACHES.level_of(2 * share, threads=2) is (level if share != 12 << 20 else Level.LLC)
    assert Caches().level_of(1 << 20, threads=2) is None
    assert Caches().level_of(1 << 30, threads=2) is Level.DRAM


def test_caches_are_read_and_instructions_are_left_out(tmp_path: Path) -> None:
    for number, (level, kind, size) in enumerate(
        [(1, "Instruction", "64K"), (1, "Data", "48K"), (2, "Unified", "2048K"), (3, "Unified", "36M"), (4, "x", "?")]
    ):
        folder = tmp_path / f"sys/devices/system/cpu/cpu0/cache/index{number}"
        folder.mkdir(parents=True)
        for name, text in {"level": level, "type": kind, "size": size}.items():
            (folder / name).write_text(f"{text}\n")
    assert caches_of(tmp_path) == Caches(l1=48 << 10, l2=2 << 20, llc=36 << 20)
    assert caches_of(tmp_path / "nowhere") == Caches()


def test_main_memory_is_measured_beyond_every_cache_and_within_memory() -> None:
    assert dram_bytes(CACHES, None) == 256 << 20
    assert dram_bytes(Caches(llc=256 << 20), 64 << 30) == 1 << 30
    assert dram_bytes(Caches(llc=256 << 20), 1 << 30) == 128 << 20
    found = passes_of(CACHES, threads=2, available=None, sweeps=True)
    assert {level for _, _, level in found} == set(Level)
    assert {kernel for kernel, _, _ in found} == {SCALE, ADD}
    assert {level for _, _, level in passes_of(CACHES, threads=2, available=None, sweeps=False)} == {Level.DRAM}


def test_effort_grows_with_the_machine_and_quick_is_less() -> None:
    assert len(usual_effort("cpu", 64).shapes) > len(usual_effort("cpu", 2).shapes)
    assert len(quick_effort("cpu").shapes) == 1
    plan = usual_effort("cpu", 2).plan(2)
    assert (plan.threads, plan.memory_trials, plan.input_slots) == (2, 0, 1)


def test_a_ceiling_is_the_median_over_processes_and_the_best_over_libraries() -> None:
    subject = Subject(library="numpy", precision=Precision.FP32, shape=(10, 10, 10), threads=2)
    timings = Timings(subject=subject, processes=[Timed(before_ns=(), window_ns=(ns,)) for ns in (1000, 2000, 4000)])
    found = ceiling_of(timings, Pace.SUSTAINED)
    assert (found.low, found.flops_per_s, found.high, found.n) == pytest.approx((0.5e9, 1e9, 2e9, 3))
    faster = dataclasses.replace(found, library="openvino", flops_per_s=3e9)
    alone = dataclasses.replace(found, threads=1)
    assert best_of([found, faster, alone]) == (faster, alone)


def test_what_runs_behind_casts_has_no_ceiling() -> None:
    runtime = BACKENDS.get("onnxruntime")
    assert why_not(runtime, Precision.FP16, frozenset()) == "it computes fp16 graphs in fp32 between casts"
    assert why_not(runtime, Precision.TF32, frozenset()) is not None
    assert why_not(runtime, Precision.FP32, frozenset()) is None
    torch = BACKENDS.get("pytorch")
    assert why_not(torch, Precision.BF16, frozenset()) is not None
    assert why_not(torch, Precision.BF16, frozenset({"amx_bf16"})) is None
    proof = Proof(
        asked=Precision.INT8, required=0.9, share=0.0, macs={"int8": 0.0, "fp32": 1.0}, bytes={}, passed=False
    )
    assert "fp32 100" in (why_unproven(proof) or "")
    assert why_unproven(dataclasses.replace(proof, passed=True)) is None
    assert why_unproven(dataclasses.replace(proof, passed=None)) is not None
    assert why_unproven(None) is not None


def test_bandwidth_is_the_best_kernel_of_each_level_and_disagreement_is_said() -> None:
    streams = [
        Stream(library="numpy", kernel=kernel, bytes=1 << 28, level=Level.DRAM, threads=1) for kernel in (SCALE, ADD)
    ]
    rates = {streams[0]: [5e9, 6e9, 7e9], streams[1]: [8e9, 8e9]}
    (best,) = bandwidths_of(rates, {"numpy": "2.0"})
    assert (best.kernel, best.bytes_per_s, best.version) == (ADD, 8e9, "2.0")
    (repeated,) = bandwidths_of({**rates, streams[1]: [8e9]}, {})
    assert (repeated.kernel, repeated.n) == (SCALE, 3)  # not the lucky single value
    assert traffic_flags(rates) == ()
    (flag,) = traffic_flags({**rates, streams[1]: [12e9]})
    assert flag.code == "TRAFFIC_UNCERTAIN"


def test_flags_of_what_fell_and_of_what_is_above() -> None:
    now = ceilings(compute(94e9), compute(99e9, kind=Pace.BURST), bandwidth=(bandwidth(9e9),))
    before = ceilings(compute(100e9), compute(100e9, kind=Pace.BURST))
    assert [flag.size for flag in dropped(now, before)] == pytest.approx([0.06, 0.1])
    assert list(dropped(before, now)) == []
    assert above_ceiling("a", 104e9, compute(100e9)) is None
    above = above_ceiling("a", 120e9, compute(100e9))
    assert above is not None
    assert (above.code, above.size) == ("ABOVE_CEILING", pytest.approx(0.2))
    falling = Timings(
        subject=Subject(library="x", precision=Precision.FP32, shape=(1, 1, 1), threads=1),
        processes=[Timed(before_ns=(), window_ns=(100,) * 40 + (125,) * 40)],
    )
    assert [flag.code for flag in not_held([falling])] == ["CEILING_NOT_HELD"]


def test_measured_rates_become_a_device_and_only_measured_ones() -> None:
    whole = ceilings(compute(100e9), compute(300e9, precision=Precision.INT8), compute(50e9, threads=1))
    device = device_from_ceilings(whole, widened=("fp16", "int8"))
    assert device is not None
    assert device.rates == {"fp32": 1.0, "int8": 3.0, "fp16": 1.0}
    assert (device.widened, device.balance) == (("fp16",), 10.0)
    assert device_from_ceilings(ceilings(), widened=()) is None
    assert whole.roof("fp32", kind=Pace.SUSTAINED, threads=1) == compute(50e9, threads=1)
    assert whole.roof("fp32", kind=Pace.SUSTAINED, threads=3) == compute(100e9)


@pytest.mark.parametrize("kernel", [SCALE, ADD])
def test_a_kernel_over_repeated_rows_computes_what_it_says_and_counts_every_byte(kernel: str) -> None:
    run, moved = kernel_over(kernel, 1 << 14)
    out = run()
    assert isinstance(out, np.ndarray)
    assert np.all(out == (0.5 if kernel == SCALE else 2.0))
    assert moved == ARRAYS[kernel] * out.size * 4
    found = streams_from_request(StreamRequest(passes=((kernel, 1 << 16),), threads=2, each_s=0.001))
    assert found.rates[kernel, 1 << 16] > 0


def test_one_operator_files_say_what_they_move_and_expect(tmp_path: Path) -> None:
    assert moved_bytes(stream_artifact(tmp_path, "add", 1200)) == 1200
    assert moved_bytes(stream_artifact(tmp_path, "relu", 800)) == 800
    product = gemm_artifact(tmp_path, (2, 3, 4), Precision.INT8)
    assert [spec.shape for spec in (*product.inputs, *product.outputs)] == [(2, 4), (4, 3), (2, 3)]
    with np.load(tmp_path / str(product.expected_path)) as expected:
        assert expected["c#0"].dtype == np.uint8


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_a_convolution_is_the_product_of_its_pixels_and_weights(precision: Precision, tmp_path: Path) -> None:
    made = convolution_artifact(tmp_path, (9, 5, 16), precision)
    assert [spec.shape for spec in (*made.inputs, *made.outputs)] == [(1, 16, 3, 3), (1, 5, 3, 3)]
    session = onnxruntime.InferenceSession(tmp_path / made.path, providers=["CPUExecutionProvider"])
    (given,) = arrays_of_samples(made.inputs, seed=0, numbers=[0]).values()
    (found,) = session.run(None, {"a": given})
    with np.load(tmp_path / str(made.expected_path)) as expected:
        assert found == pytest.approx(expected["c#0"], rel=1e-5, abs=1e-5 if precision is Precision.FP32 else 1)
    cost = cost_from_graph(graph_from_file(tmp_path / made.path, batch=1), model="conv", sha256=made.sha256)
    assert cost.macs == 9 * 5 * 16
    with pytest.raises(ValueError, match="not a square"):
        convolution_artifact(tmp_path, (8, 5, 16), precision)


def test_the_table_says_what_is_a_bound_and_what_has_none() -> None:
    found = ceilings(
        compute(),
        backends=(compute(), compute(50e9, library="openvino")),
        none=(NoCeiling(precision=Precision.FP16, library="onnxruntime", reason="between casts"),),
        theoretical={"fp32": 1e12},
    )
    text = render_ceilings([found])
    for words in (
        "100 GFLOP/s", "90.0 GFLOP/s", "10.0 GB/s", "is a lower bound of the true peak",
        "no fp16 ceiling from onnxruntime: between casts", "of its median rate: openvino 50 %", "data sheet",
    ):  # fmt: skip
        assert words in text


def test_a_rate_that_was_held_is_no_more_than_that_of_a_moment() -> None:
    """Few samples: the five fastest take in slow ones of the warm-up."""
    timed = Timed(before_ns=(100, 100), window_ns=(70, 70, 80))
    assert timed.seconds(Pace.BURST) <= timed.seconds(Pace.SUSTAINED)


def test_the_roof_of_more_threads_is_not_below_that_of_fewer() -> None:
    found = ceilings(compute(50e9, threads=1), compute(36e9, threads=2))
    roof = found.roof(Precision.FP32, kind=Pace.SUSTAINED, threads=2)
    assert roof is not None
    assert roof.flops_per_s == 50e9
    alone = ceilings(compute(36e9, threads=2)).roof(Precision.FP32, kind=Pace.SUSTAINED, threads=1)
    assert alone is not None
    assert alone.flops_per_s == 36e9
