"""How does a module become a graph if its forward decides by values, as a detector's does?

``torch.export`` follows no number into Python that depends on values, such as how many boxes were selected, and gives
up. TorchScript's tracer runs the network once on its example and writes down the operators that ran: selections are
operators of the graph, and the sizes after them follow from the inputs again. What Python decided meanwhile, a branch
or how often a loop runs, stays as this example decided it. The tracer knows these places, and they are named. Sizes of
the inputs become constants, so that the graph is for the batch of the example.
"""

from __future__ import annotations

import warnings
from pathlib import PurePath
from typing import TYPE_CHECKING

from benchbox.export.module.canonical import SCOPES
from benchbox.export.opsets import OPSET
from benchbox.temporary import temporary_folder
from benchbox.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from benchbox.models.building import Network

# Where the exporter says that its graph depends on the example: a value has become a Python number.
_DECIDED = "Converting a tensor to a Python"
_MOST_PLACES = 3


def proto_from_trace(network: Network) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The graph of one inference of a network with a fixed batch, and where its Python decided by values.

    Raises whatever the network's own code or the tracer raises.
    """
    import onnx
    import torch

    assert network.fixed_batch is not None, "a trace is for one batch size"
    with temporary_folder("benchbox-trace-") as folder, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        file = folder / "traced.onnx"
        torch.onnx.export(
            network.module,
            tuple(given.tensor for given in network.inputs),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[given.name for given in network.inputs],
            verbose=False,
        )
        proto = onnx.load(file)
    _store_constants(proto.graph)
    for node in proto.graph.node:
        scopes = node.metadata_props.add()
        scopes.key, scopes.value = SCOPES, repr(["", scope_of(node.name), node.name])
    places = dict.fromkeys(
        f"{PurePath(one.filename).name}:{one.lineno}" for one in told if str(one.message).startswith(_DECIDED)
    )
    return proto, tuple(places)


def _store_constants(graph: onnx.GraphProto) -> None:
    """Constants of the graph's own become stored tensors, as in graphs of the usual exporter: they are no layers."""
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        value = next((one for one in node.attribute if one.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensor = graph.initializer.add()
            tensor.CopyFrom(value.t)
            tensor.name = node.output[0]
            del graph.node[index]


def scope_of(name: str) -> str:
    """The module that a node of a trace belongs to: "body.layer1.0" of "/body/layer1/layer1.0/Conv".

    A scope is called by the attribute that holds the module; in a container its name begins with the container's.
    """
    found: list[str] = []
    for scope in name.split("/")[1:-1]:
        if found and scope.startswith(f"{found[-1]}."):
            found[-1] = scope
        else:
            found.append(scope)
    return ".".join(found)


def traced_in_words(size: int, cause: str, places: Sequence[str]) -> str:
    """What the user should know of a graph that was traced."""
    text = f"traced by TorchScript from one inference, so for a batch of {size} only: torch.export refuses it ({cause})"
    if not places:
        return text
    named = ", ".join(places[:_MOST_PLACES]) + (", …" if len(places) > _MOST_PLACES else "")
    return f"{text}; where its Python decides by values the graph has what the example decides: " + (
        f"{counted(len(places), 'place')}, {named}"
    )
