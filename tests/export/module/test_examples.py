"""A factory's example inputs decide names, types, shapes, the batch axis and what is fed, all the way to the file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from benchbox.errors import UsageError
from benchbox.export.exporting import artifact_from_source
from benchbox.jobs.prepare import cost_from_source, exported_sources
from benchbox.models.sources import resolve
from benchbox.schema.artifact import Drawn
from benchbox.schema.model import InputChoice, Precision
from benchbox.stats.inputs import seeded_arrays

CODE = """
import torch
from torch import nn

class Step(nn.Module):
    # one step of a decoder with the keys and values of the tokens before
    def __init__(self):
        super().__init__()
        self.table, self.qkv, self.head = nn.Embedding(50, 16), nn.Linear(16, 48), nn.Linear(16, 50)

    def forward(self, ids, attention_mask=None, kinds=None, cache=None, use_cache=True):
        q, k, v = self.qkv(self.table(ids) + kinds[..., None]).chunk(3, -1)
        k, v = torch.cat([cache[0], k], 1), torch.cat([cache[1], v], 1)
        scores = q @ k.transpose(1, 2) + (1 - attention_mask[:, None, :].float()) * -1e4
        logits = self.head(scores.softmax(-1) @ v)
        return {"logits": logits, "cache": (k, v)} if use_cache else logits

def step():
    cache = tuple(torch.randn(1, 7, 16) for _ in range(2))
    return Step(), dict(ids=torch.tensor([[3]]), kinds=torch.tensor([[4]]), cache=cache,
                        attention_mask=torch.ones(1, 8, dtype=torch.int64))

class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(4, 2, 4)

def fixed():
    return Fixed(), torch.randn(4, 8)

class Recurrent(nn.Module):
    # its exported graph keeps the length that it was traced with
    def __init__(self):
        super().__init__()
        self.layer, self.state = nn.LSTM(6, 3), torch.zeros(1, 4, 3)

    def forward(self, x):
        return self.layer(x, (self.state, self.state))[0]

def recurrent():
    return Recurrent(), torch.randn(7, 4, 6)

def bare():
    return nn.Linear(8, 2)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "example_nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "example_nets", raising=False)


def artifact(tmp_path: Path, name: str = "example_nets:step", **fields: Any) -> Any:
    source = resolve(name, input_shape=None, weights=None, **fields)
    return artifact_from_source(source, precision=Precision.FP32, root=tmp_path)


def test_a_decoder_step_with_its_cache(tmp_path: Path) -> None:
    made = artifact(tmp_path)
    assert [(spec.name, spec.dtype, spec.shape, spec.batch_axis) for spec in made.inputs] == [
        ("ids", "int64", (None, 1), 0),
        ("attention_mask", "int64", (None, 8), 0),
        ("kinds", "int64", (None, 1), 0),
        ("cache_0", "float32", (None, 7, 16), 0),
        ("cache_1", "float32", (None, 7, 16), 0),
    ]
    assert [spec.shape for spec in made.outputs] == [(None, 1, 50), (None, 8, 16), (None, 8, 16)]
    assert all(hop.passed for hop in made.hops)
    assert [hop.source for hop in made.hops] == ["pytorch-fp64", "pytorch-fp32"]
    assert made.weights_from == "by the factory"
    ids, mask, kinds, *_ = made.inputs
    assert ids.values is not None
    assert (ids.values.drawn, ids.values.low, ids.values.high) == (Drawn.ROWS, 0, 50)
    assert mask.values is not None
    assert mask.values.drawn is Drawn.ONES
    assert kinds.values is not None
    assert (kinds.values.drawn, kinds.values.constant) == (Drawn.EXAMPLE, 4.0), "nothing else says what it may be"
    fed = seeded_arrays(made.inputs, seed=0, samples=3)
    assert fed["kinds"].tolist() == [[4]] * 3
    assert np.unique(fed["ids"]).size > 1
    proto = onnx.load(str(tmp_path / made.path))
    assert [value.name for value in proto.graph.input] == [spec.name for spec in made.inputs]
    assert {"qkv", "head"} <= {node.name.partition(".")[0] for node in proto.graph.node}, "layers keep their names"


def test_sizes_that_the_user_says(tmp_path: Path) -> None:
    """A longer past: every input that knows of it is said."""
    named = (("attention_mask", (4,)), ("cache_0", (3, 16)), ("cache_1", (3, 16)))
    source = resolve("example_nets:step", input_shape=None, weights=None, inputs=InputChoice(named=named))
    cost = cost_from_source(source, batch=2, root=tmp_path)
    assert cost.macs == 2 * (16 * 48 + 16 * 50 + 2 * 4 * 16)
    assert source.variant == "attention_mask=4 cache_0=3x16 cache_1=3x16"
    with pytest.raises(UsageError, match="no input and no size 'past'"):
        artifact(tmp_path, inputs=InputChoice(named=(("past", (3,)),)))


def test_a_batch_that_the_network_fixes(tmp_path: Path) -> None:
    made = artifact(tmp_path, "example_nets:fixed")
    assert (made.fixed_batch, made.inputs[0].shape) == (4, (4, 8))
    assert any("a batch of 4 only" in warning for warning in made.warnings)


def test_somebody_s_code_is_exported_once_a_process(tmp_path: Path) -> None:
    """For a further precision too; not for another root, nor for another version of the code."""
    said: list[str] = []
    source = resolve("example_nets:bare", input_shape=(8,), weights=None)

    def export(precision: Precision, root: Path) -> Any:
        return artifact_from_source(source, precision=precision, root=root, say=said.append)

    plain = export(Precision.FP32, tmp_path)
    assert export(Precision.FP32, tmp_path) == plain
    assert export(Precision.FP16, tmp_path).precision is Precision.FP16
    assert said.count("exporting to ONNX") == 1
    export(Precision.FP32, tmp_path / "other")
    assert said.count("exporting to ONNX") == 2
    text = Path("example_nets.py").read_text().replace("nn.Linear(8, 2)", "nn.Linear(8, 13)")
    Path("example_nets.py").write_text(text)
    kept = sys.modules.pop("example_nets")
    assert export(Precision.FP32, tmp_path).params == 117
    assert kept.bare()(torch.zeros(1, 8)).shape == (1, 2)


def test_an_exported_factory_is_found_again(tmp_path: Path) -> None:
    source = resolve("example_nets:fixed", input_shape=None, weights=None)
    artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert exported_sources(tmp_path) == (source,)


@pytest.mark.parametrize(("axes", "size"), [((), 4), ((("x", 0),), 7)], ids=["seen", "said"])
def test_a_graph_that_is_right_for_one_batch_size_is_made_for_it(
    axes: tuple[tuple[str, int], ...], size: int, tmp_path: Path
) -> None:
    """The state is made for four samples; an axis that the user says has the size of the example."""
    made = artifact(tmp_path, "example_nets:recurrent", inputs=InputChoice(batch_axes=axes))
    assert (made.fixed_batch, made.inputs[0].batch_axis) == (size, 0 if axes else 1)
    assert any(f"batch of {size} only" in warning for warning in made.warnings)


def test_the_batch_that_code_fixes_is_the_default_of_a_run(
    one_process: None, benchbox: Callable[..., Any], short: tuple[str, ...]
) -> None:
    nets = ("example_nets:fixed", "example_nets:bare")
    ran = benchbox("run", *nets, "--backend", "onnxruntime", "--json", *short)
    assert ran.status == 0, ran.err
    measured, unknown = sorted(ran.document["records"], key=lambda record: record["status"])
    assert (measured["key"]["batch"], measured["plan"]["batch"], measured["inputs"][0]["shape"]) == (4, 4, [4, 8])
    reasons = [flag["message"] for flag in measured["flags"] if flag["code"] == "BATCH_OF_NETWORK"]
    assert "a batch of 4 only" in reasons[0]
    assert unknown["status"] == "skipped"
    assert "inputs of example_nets:bare are unknown" in unknown["reason"]
    other = benchbox("run", nets[0], "--batch", "2", "--backend", "onnxruntime", *short)
    assert (other.status, "--batch 4" in other.err) == (2, True)
    shown = benchbox("layers", nets[0], "--backend", "onnxruntime", "--iterations", "2", "--threads", "1", "--json")
    assert (shown.status, shown.document["batch"]) == (0, 4), shown.err
