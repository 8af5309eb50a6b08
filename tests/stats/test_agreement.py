"""Distances between outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, distance_in_words, hop_from_outputs, runtime_tolerance, worse_hop

FP32 = TOLERANCES[Precision.FP32]
vectors = arrays(np.float32, st.integers(2, 40), elements=st.floats(-100, 100, width=32))


@given(vectors)
def test_equal_outputs_have_no_distance(values: np.ndarray) -> None:
    hop = hop_from_outputs("a", "b", {"output": values}, {"output": values.copy()}, FP32)
    assert (hop.max_abs_error, hop.rel_l2_error) == (0.0, 0.0)
    assert hop.cosine == pytest.approx(1.0)
    assert hop.passed


@given(vectors, vectors)
def test_errors_by_hand(one: np.ndarray, other: np.ndarray) -> None:
    size = min(len(one), len(other))
    a, b = one[:size].astype(np.float64), other[:size].astype(np.float64)
    hop = hop_from_outputs("a", "b", {"output": one[:size]}, {"output": other[:size]}, FP32)
    assert hop.max_abs_error == pytest.approx(np.abs(a - b).max())
    if np.linalg.norm(a) > 0:
        assert hop.rel_l2_error == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a))
    assert hop.passed == (hop.rel_l2_error <= FP32.rel_l2_error and hop.cosine >= FP32.cosine)


@pytest.mark.parametrize(
    "outputs",
    [
        {"output": np.array([1.0, np.nan], np.float32)},
        {"output": np.array([1.0, np.inf], np.float32)},
        {"output": np.array([1.0], np.float32)},
        {"other": np.array([1.0, 2.0], np.float32)},
        {},
    ],
    ids=["nan", "infinite", "shape", "name", "nothing"],
)
def test_what_cannot_be_compared_never_passes(outputs: dict[str, np.ndarray]) -> None:
    hop = hop_from_outputs("a", "b", {"output": np.array([1.0, 2.0], np.float32)}, outputs, FP32)
    assert not hop.passed
    assert hop.rel_l2_error == float("inf")


def test_a_swapped_sign_and_a_scale_are_caught() -> None:
    values = {"output": np.linspace(-1, 1, 100, dtype=np.float32)}
    for wrong in (-values["output"], values["output"] * 1.001, values["output"] + np.float32(0.001)):
        assert not hop_from_outputs("a", "b", values, {"output": wrong}, FP32).passed


def test_the_worse_of_two_hops() -> None:
    right = {"output": np.ones(4, np.float32)}
    near = hop_from_outputs("a", "b", right, {"output": np.full(4, 1.00001, np.float32)}, FP32)
    far = hop_from_outputs("a", "b", right, {"output": np.full(4, 1.1, np.float32)}, FP32)
    assert worse_hop(near, far) == far


def test_each_output_is_judged_by_itself() -> None:
    right = {"scores": np.full(1000, 10.0), "mask": np.full(10, 1e-3)}
    hop = hop_from_outputs("a", "b", right, {**right, "mask": np.full(10, 1.1e-3)}, FP32)
    assert not hop.passed
    assert hop.output == "mask"
    assert "output mask" in distance_in_words(hop)


def test_equal_infinities_and_nan_are_equal() -> None:
    right = {"y": np.array([1.0, -np.inf, np.nan])}
    assert hop_from_outputs("a", "b", right, {"y": right["y"].copy()}, FP32).passed
    hop = hop_from_outputs("a", "b", right, {"y": np.array([np.nan, np.inf, np.nan])}, FP32)
    assert not hop.passed
    assert hop.fault == (
        "output y: 2 of 3 values differ in not being finite (1 infinite and 2 NaN, expected 1 infinite and 1 NaN)"
    )
    assert distance_in_words(hop) == hop.fault


def test_a_bounded_function_is_right_to_some_roundings_of_its_range() -> None:
    low, off = {"y": np.full(64, 1.4e-11)}, {"y": np.full(64, 8.4e-11)}
    assert hop_from_outputs("a", "b", low, off, FP32, bounded=("y",)).passed
    assert not hop_from_outputs("a", "b", low, off, FP32).passed  # a product of small numbers
    far = {"y": np.full(64, 1e-5)}
    assert not hop_from_outputs("a", "b", low, far, FP32, bounded=("y",)).passed


def test_whole_numbers_are_counted_where_they_differ() -> None:
    classes = np.arange(100_000) % 20
    flipped = classes.copy()
    flipped[:5] = 19
    assert hop_from_outputs("a", "b", {"y": classes}, {"y": flipped}, FP32).passed
    flipped[:5000] = 19
    assert not hop_from_outputs("a", "b", {"y": classes}, {"y": flipped}, FP32).passed


def test_a_runtime_may_not_lose_what_the_conversion_to_int4_did() -> None:
    """By a twentieth, which the conversion may be off by: the same weights in fp32 or fp16 give no such thing."""
    wanted = {"output": np.array([1.0, 0.0], np.float32)}
    made = {"output": np.array([1.0, 0.05], np.float32)}
    assert hop_from_outputs("fp32", "int4", wanted, made, TOLERANCES[Precision.INT4]).passed
    for fallback in (Precision.FP32, Precision.FP16):
        tolerance = runtime_tolerance(Precision.INT4, fallback)
        assert not hop_from_outputs("int4", "runtime", wanted, made, tolerance).passed
        assert tolerance == TOLERANCES[fallback]
        assert runtime_tolerance(Precision.INT8, fallback) == TOLERANCES[Precision.INT8]


SCORES = np.array([0.9, 0.7002, 0.7001, 0.7, 0.2], np.float32)
BOXES = np.random.default_rng(3).uniform(0, 100, (5, 4)).astype(np.float32)
LIST = {"boxes": BOXES, "scores": SCORES}


def in_order(places: list[int], scores: np.ndarray = SCORES) -> dict[str, np.ndarray]:
    """The list with its rows in another order, and scores that fall nevertheless."""
    return {"boxes": BOXES[places], "scores": scores}


@pytest.mark.parametrize(
    ("places", "moved"), [([0, 3, 1, 2, 4], 3), ([0, 2, 1, 3, 4], 2), ([0, 1, 2, 3, 4], 0), ([1, 0, 2, 3, 4], None)]
)
def test_rows_of_a_list_exchange_places_within_ties(places: list[int], moved: int | None) -> None:
    tolerance = TOLERANCES[Precision.FP16]
    hop = hop_from_outputs("a", "b", LIST, in_order(places), tolerance, ranked=("boxes", "scores"))
    assert (hop.passed, hop.reordered) == ((True, moved) if moved is not None else (False, 0))
    assert hop_from_outputs("a", "b", LIST, in_order(places), tolerance).passed is (moved == 0), "no list, no ties"


def test_lists_are_those_of_one_inference_and_of_one_sample() -> None:
    tolerance = TOLERANCES[Precision.FP16]
    swapped = in_order([0, 2, 1, 3, 4])
    apart = {f"{name}#{number}": array for number in (0, 1) for name, array in LIST.items()}
    others = {f"{name}#1": array for name, array in swapped.items()} | {f"{name}#0": LIST[name] for name in LIST}
    assert hop_from_outputs("a", "b", apart, others, tolerance, ranked=("boxes", "scores")).reordered == 2
    one = np.stack([np.column_stack([BOXES, SCORES]), np.column_stack([BOXES * 2, SCORES])])
    other = one.copy()
    other[1, 1:3] = other[1, [2, 1]]
    other[..., 4] = SCORES
    hop = hop_from_outputs("a", "b", {"rows": one}, {"rows": other}, tolerance, ranked=("rows",))
    assert (hop.passed, hop.reordered) == (True, 2)
    other[:, [1, 2], :4] = np.stack([one[1], one[0]])[:, [2, 1], :4]
    assert not hop_from_outputs("a", "b", {"rows": one}, {"rows": other}, tolerance, ranked=("rows",)).passed


def test_a_list_is_not_right_with_other_rows_or_other_scores() -> None:
    tolerance, ranked = TOLERANCES[Precision.FP16], ("boxes", "scores")
    wrong = in_order([0, 2, 1, 3, 4])
    wrong["boxes"][3] += 9
    assert not hop_from_outputs("a", "b", LIST, wrong, tolerance, ranked=ranked).passed
    twice = in_order([0, 2, 2, 3, 4])
    assert not hop_from_outputs("a", "b", LIST, twice, tolerance, ranked=ranked).passed
    lower = in_order([0, 2, 1, 3, 4], SCORES * np.float32(0.9))
    assert not hop_from_outputs("a", "b", LIST, lower, tolerance, ranked=ranked).passed
    rising = in_order([0, 2, 1, 3, 4], SCORES[::-1].copy())
    assert not hop_from_outputs("a", "b", LIST, rising, tolerance, ranked=ranked).passed
