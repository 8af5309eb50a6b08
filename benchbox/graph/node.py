"""What is one node of a graph, with the shapes of its tensors?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchbox.errors import ArtifactError


class MisfitError(Exception):
    """What a file says of a node is not what its operator takes: a rank, an attribute. Says what and where."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """Name, shape and bytes per element of a tensor; rules see no data. ``kind`` is ONNX's number of its type, or 0."""

    name: str
    shape: tuple[int, ...]
    item_bytes: float
    kind: int = field(default=0, compare=False)

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    def size(self, axis: int) -> int:
        """The size along an axis, from the end where it is negative; raises MisfitError where there is no such axis."""
        if not -len(self.shape) <= axis < len(self.shape):
            raise MisfitError(f"{self.name} is of shape {self.shape} and has no axis {axis}")
        return self.shape[axis]

    @property
    def size_bytes(self) -> int:
        """Bytes of the dense tensor, rounded up."""
        return math.ceil(self.elements * self.item_bytes)


@dataclass(frozen=True, kw_only=True)
class Body:
    """A branch of an If or the body of a Loop: the nodes that run in an inference, its parameters and weights by name.

    ``ends_early``: a Loop's body computes whether there is another turn. ``varying`` says what of its work depends on
    data, "" where nothing does.
    """

    nodes: tuple[NodeView, ...]
    params: int
    weights: Mapping[str, Tensor]
    ends_early: bool = False
    varying: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeView:
    """One node as a rule sees it: concrete shapes and attributes.

    ``inputs`` has None for an optional input that is left out. ``constants`` holds the values of small
    inputs that are known (axes, shapes, scales), by input position. ``index`` is the node's place in the file.
    ``layers`` are the classes of the PyTorch layers that the node stands for (``Conv2d+bias``), where benchbox
    exported the file. ``scales`` are the constants that quantised inputs and outputs are stored with, where Q/DQ nodes
    were folded away (``cost/precision/folding.py``). ``bodies`` are the branches of an If, or the body of a Loop.
    """

    index: int
    name: str
    op: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attributes: Mapping[str, object] = field(default_factory=dict)
    constants: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    scales: tuple[Tensor, ...] = ()
    bodies: tuple[Body, ...] = ()

    def input(self, position: int) -> Tensor:
        """An input that the operator must have; raises ArtifactError where the graph leaves it out."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise ArtifactError(
                f"node {self.name} ({self.op}) lacks its input {position}", remedy="the graph is invalid"
            )
        return found

    def integer(self, name: str, default: int) -> int:
        """An integer attribute; raises MisfitError where the file has something else there."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise MisfitError(f"attribute {name} is {value!r:.40}, not a whole number")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of integers, empty where it is left out; raises MisfitError where the file has something else."""
        value = self.attributes.get(name, ())
        if not isinstance(value, tuple) or not all(isinstance(number, int) for number in value):
            raise MisfitError(f"attribute {name} is {value!r:.40}, not a list of whole numbers")
        return value
