"""The node tests that the onnx package brings: some 1,880 models of one operator or its expansion, with their data."""

from __future__ import annotations

import functools
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from benchbox.cost.counting import cost_from_graph
from benchbox.errors import BenchboxError
from benchbox.export.exporting import artifact_from_source
from benchbox.graph.graph import graph_from_file
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision

# What counting says of a model; anything else is a refusal, given by its first line.
# Of a file that is in one of these, and in no other.
_OWN = (Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8, Precision.FP64)
COUNTED = "counted"
MEASURED = "can be measured"


@functools.cache
def node_cases() -> tuple[Any, ...]:
    """All of them; making their data takes some ten seconds."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return tuple(collect_testcases(None))


def with_constants(case: Any) -> onnx.ModelProto:
    """A case as networks have such operators: all inputs but the first are constants (axes, shapes, scales)."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    first, *others = model.graph.input
    values = case.data_sets[0][0]
    free = [onnx.ValueInfoProto.FromString(first.SerializeToString())]
    for declared, value in zip(others, values[1:], strict=False):
        if isinstance(value, TensorProto):
            model.graph.initializer.add().CopyFrom(value)
            model.graph.initializer[-1].name = declared.name
        elif isinstance(value, np.ndarray | np.generic):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), declared.name))
        else:
            free.append(onnx.ValueInfoProto.FromString(declared.SerializeToString()))
    del model.graph.input[:]
    model.graph.input.extend(free)
    return model


def counted(case: Any, folder: Path) -> str:
    """Counts a case: ``COUNTED``, or why it is refused; with constants where its shapes need what they hold."""
    outcome = _counted(case.model, case, folder)
    if "cannot be inferred" in outcome and len(case.model.graph.input) > 1:
        again = _counted(with_constants(case), case, folder)
        return again if again == COUNTED else outcome
    return outcome


def _counted(model: onnx.ModelProto, case: Any, folder: Path) -> str:
    path = folder / "case.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        graph = graph_from_file(path)
        cost_from_graph(graph, model=case.name, sha256="")
    except BenchboxError as error:
        require_named(error, model, path)
        return error.what.replace(str(path), "FILE")
    shapes = {tensor.name: tensor.shape for node in graph.nodes for tensor in node.outputs}
    shapes |= {tensor.name: tensor.shape for tensor in (*graph.inputs, *graph.weights.values())}
    for name, stored in zip(graph.outputs, case.data_sets[0][1], strict=True):
        assert shapes[name] == _shape(stored), f"{case.name}: output {name}"
    return COUNTED


def require_named(error: BenchboxError, model: onnx.ModelProto, path: Path) -> None:
    """A refusal names the file, or a node, an operator or a tensor of it."""
    text = f"{error.what} {error.values}"
    names = {value.name for value in (*model.graph.input, *model.graph.output)}
    names |= {name for node in _nodes_in(model.graph) for name in (*node.output, node.op_type)}
    assert str(path) in text or any(name and name in text for name in names), text


def _nodes_in(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for entry in node.attribute:
            yield from _nodes_in(entry.g)


def _shape(stored: Any) -> tuple[int, ...]:
    return tuple(stored.dims) if isinstance(stored, TensorProto) else np.shape(stored)


def measurable(case: Any, root: Path) -> str:
    """Whether ``run`` would take a case: its border, what it is fed, its judge and its check; else why not."""
    outcome = measurable_model(case.model, root / case.name)
    if outcome != MEASURED and len(case.model.graph.input) > 1:
        again = measurable_model(with_constants(case), root / f"{case.name}-constants")
        return again if again == MEASURED else outcome
    return outcome


def measurable_model(model: onnx.ModelProto, root: Path) -> str:
    root.mkdir()
    path = root / "case.onnx"
    path.write_bytes(model.SerializeToString())
    source = resolve(str(path), input_shape=None, weights=None)
    for precision in _OWN:
        try:
            artifact = artifact_from_source(source, precision=precision, root=root)
        except BenchboxError as error:
            if error.values == "the precision of a network is in its graph":
                continue
            require_named(error, model, path)
            return error.what.replace(str(path), "FILE")
        return f"unchecked: {artifact.unchecked}" if artifact.unchecked else MEASURED
    raise AssertionError(f"{path} is in no precision")


def table(outcomes: dict[str, str]) -> str:
    """How many cases had which outcome, and two of each, names of tensors left out."""
    counts: Counter[str] = Counter()
    examples = defaultdict(list)
    for name, outcome in outcomes.items():
        kind = re.sub(r"(tensor|input|output) \S+", r"\1 …", outcome)[:90]
        counts[kind] += 1
        examples[kind].append(name)
    lines = [f"{count:5}  {kind:90}  {', '.join(examples[kind][:2])}" for kind, count in counts.most_common()]
    return "\n".join([f"{len(outcomes)} node tests of onnx {onnx.__version__}", *lines])
