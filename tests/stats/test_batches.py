"""Samples are joined along their batch axis and taken out again; what belongs to no sample stays by inference."""

from __future__ import annotations

import numpy as np

from benchbox.schema.artifact import Drawn, TensorSpec, Values
from benchbox.stats.batches import empty_outputs, inferences_in, joined, samples_of, specs_of_outputs
from benchbox.stats.inputs import arrays_of_samples, fed_inputs, seeded_arrays


def made(batch: int, found: int) -> dict[str, np.ndarray]:
    return {
        "first": np.arange(batch * 3).reshape(batch, 3),
        "second": np.arange(2 * batch * 3).reshape(2, batch, 3),
        "found": np.zeros((found, 3), np.int64),
        "total": np.float32(batch),
    }


def test_axes_of_outputs_follow_from_two_batch_sizes() -> None:
    parts = [made(1, 2), made(3, 5)]
    specs = specs_of_outputs(parts, list(parts[0]), batches=(1, 3), counted=True, open_axes={})
    assert [(spec.shape, spec.batch_axis) for spec in specs] == [
        ((None, 3), 0), ((2, None, 3), 1), ((None, 3), None), ((), None),
    ]  # fmt: skip
    whole = joined(parts, specs)
    assert {name: array.shape for name, array in whole.items()} == {
        "first": (4, 3), "second": (2, 4, 3), "found#0": (2, 3), "found#1": (5, 3), "total#0": (), "total#1": (),
    }  # fmt: skip
    some = samples_of(whole, specs, samples=np.array([3, 0]), inferences=1)
    assert np.array_equal(some["second"], whole["second"][:, [3, 0]])
    assert set(some) == {"first", "second", "found#0", "total#0"}
    again = inferences_in({f"found#{index}": part["found"] for index, part in enumerate(parts)}, ["found"], 2)
    assert [part["found"].shape for part in again] == [(2, 3), (5, 3)]


def test_outputs_with_nothing_in_any_inference_are_named() -> None:
    parts = [{**made(1, 0), "none#1": np.zeros((1, 0))}, {**made(1, 2), "none#1": np.zeros((1, 0))}]
    names = list(parts[0])
    specs = specs_of_outputs(parts, names, batches=(1, 1), counted=True, open_axes={"found": (0,)})
    assert empty_outputs(joined(parts, specs), names) == ("none#1",), "two were found in the second inference"
    assert empty_outputs(joined(parts[:1], specs), names) == ("found", "none#1")


def test_equal_sizes_by_chance_are_still_open() -> None:
    parts = [made(2, 4), made(2, 4)]
    specs = specs_of_outputs(parts, ["first", "found"], batches=(2, 2), counted=True, open_axes={"found": (0,)})
    assert [(spec.shape, spec.batch_axis) for spec in specs] == [((2, 3), 0), ((None, 3), None)]
    alone = specs_of_outputs(parts, ["first"], batches=(1, 1), counted=False, open_axes={})
    assert alone[0].batch_axis is None


def test_inputs_are_stacked_along_their_axis() -> None:
    state = TensorSpec(name="state", dtype="float32", shape=(2, None, 4), batch_axis=1)
    scale = TensorSpec(name="scale", dtype="float32", shape=(1,), batch_axis=None)
    three = seeded_arrays([state, scale], seed=0, samples=3)
    assert three["state"].shape == (2, 3, 4)
    last = arrays_of_samples([state, scale], seed=0, numbers=[2, 0, 2])
    assert np.array_equal(last["state"], three["state"][:, [2, 0, 2]])
    assert np.array_equal(last["scale"], three["scale"]), "one scale for all samples"
    assert not np.array_equal(
        arrays_of_samples([scale], seed=0, numbers=[0])["scale"],
        arrays_of_samples([scale], seed=0, numbers=[1])["scale"],
    ), "where no input counts samples each inference has its own"
    assert state.at_batch(5).shape == (2, 5, 4)
    assert scale.at_batch(5).shape == (1,)


def test_integers_are_drawn_as_the_spec_says() -> None:
    rows = Values(drawn=Drawn.ROWS, low=10, high=1000, text="rows 10 to 999 of t")
    ids = TensorSpec(name="ids", dtype="int64", shape=(None, 500), values=rows)
    mask = TensorSpec(
        name="m", dtype="int32", shape=(None, 2), values=Values(drawn=Drawn.ONES, constant=1.0, text="ones")
    )
    found = seeded_arrays([ids, mask], seed=0, samples=4)
    assert (found["ids"].min() >= 10, found["ids"].max() > 900, found["ids"].max() < 1000) == (True, True, True)
    assert found["m"].tolist() == [[1, 1]] * 4
    fed = fed_inputs([ids, mask], batch=4)
    assert [(given.shape, given.values, given.assumed) for given in fed] == [
        ((4, 500), "rows 10 to 999 of t", False),
        ((4, 2), "ones", False),
    ]
