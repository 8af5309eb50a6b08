"""How does an fp32 graph become an int8 or fp8 one?

By explicit Q/DQ pairs, symmetric, weights per output channel and stored in eight bits, biases left in floating point:
the form that TensorRT takes (it refuses an int32 bias and a zero point other than 0). All nodes and tensors of the fp32
graph keep their names; added ones are named after the tensor that they quantise, so that one cost table serves all
precisions.

Where the pairs go: on what every convolution and matrix product reads; for int8 also on what a convolution writes,
since integer convolutions write integers. What a convolution hands to a ReLU alone gets the ReLU's range: with a
symmetric range, rounding before the ReLU and after it give the same values, so that pair costs no accuracy.

For int8 each reader of a tensor gets a pair of its own, all with the same range. Where readers shared one, ONNX Runtime
would run none of them in int8 on x86: it makes activations unsigned there, but only behind a pair with a single reader,
and fuses no convolution whose input is signed and whose output is not.

What is inside of branches and loops stays as it is. What they read from outside is rounded as for any other reader.
"""

from __future__ import annotations

import copy
import fnmatch
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError
from benchbox.export.opsets import opset_of
from benchbox.export.precision.eightbit import FORMATS, Format, scales_of
from benchbox.export.precision.request import kept_inside_in_words, nodes_with_bodies, require_plain
from benchbox.graph.bodies import bodies_of, captured_by, nodes_inside, rename_captured
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx

QUANTIZABLE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Opset 19 brings fp8 and the fp16 scales of a mixed graph.
OPSET_NEEDED = 19


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A quantised graph, how many of its convolutions and matrix products are quantised, and warnings."""

    proto: onnx.ModelProto
    quantized: int
    quantizable: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A weight in eight bits, and its scales: one, or one per output channel."""

    tensor: onnx.TensorProto
    scale: np.ndarray


def encoded_weight(tensor: onnx.TensorProto, axis: int | None, form: Format, scale_type: type[np.floating]) -> Encoded:
    """A weight in an eight-bit format, each channel by its own largest magnitude.

    Args:
        tensor: in fp32.
        axis: that counts output channels; None for one scale for the whole tensor.
        form: the eight-bit format.
        scale_type: the numpy type that scales must be exact in.

    Raises:
        ArtifactError: a weight that is not finite.
    """
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    others = tuple(index for index in range(array.ndim) if index != axis)
    tops = np.abs(array).max(axis=others, initial=0.0) if axis is not None else np.abs(array).max(initial=0)
    if not np.isfinite(tops).all():
        raise ArtifactError(f"the weights {tensor.name} are not finite", remedy="check the network's weights")
    scale = scales_of(np.asarray(tops), form, scale_type)
    spread = scale if axis is None else scale.reshape([-1 if dim == axis else 1 for dim in range(array.ndim)])
    return Encoded(tensor=form.tensor(array / spread.astype(np.float32), tensor.name), scale=scale)


Encode = Callable[["onnx.TensorProto", int | None, Format, type[np.floating]], Encoded]


def observed_tensors(proto: onnx.ModelProto, *, precision: Precision, exclude: Sequence[str] = ()) -> tuple[str, ...]:
    """The activations whose ranges ``quantized_from_float`` needs, in the order of the graph.

    Raises:
        ArtifactError: a graph that cannot be quantised.
    """
    return _Plan(proto, precision, tuple(exclude)).observed()


def quantized_from_float(
    proto: onnx.ModelProto,
    ranges: Mapping[str, float],
    *,
    precision: Precision,
    exclude: Sequence[str] = (),
    scale_type: type[np.floating] = np.float32,
    encode: Encode = encoded_weight,
) -> Quantized:
    """An int8 or fp8 copy of an fp32 model.

    Args:
        proto: with all data inside; not changed.
        ranges: largest magnitude of every tensor that ``observed_tensors`` names.
        precision: int8 or fp8.
        exclude: patterns of node names (``layer4.*``) that are not quantised and read unrounded values.
        scale_type: the numpy type that scales must be exact in; float16 where the graph is then cast to fp16.
        encode: converts one weight; another one for a graph whose weights have no data.

    Raises:
        ArtifactError: a graph that cannot be quantised, or a range that is not finite.
    """
    plan = _Plan(proto, precision, tuple(exclude))
    made = copy.deepcopy(proto)
    pass_ = _QuantizePass(made.graph, plan, FORMATS[precision], scale_type, encode)
    pass_.run(ranges)
    return Quantized(
        proto=made, quantized=len(plan.chosen), quantizable=plan.quantizable, warnings=tuple(plan.warnings())
    )


class _Plan:
    """Which nodes of a graph are quantised, and which tensors that touches."""

    def __init__(self, proto: onnx.ModelProto, precision: Precision, exclude: tuple[str, ...]) -> None:
        _require_quantizable_graph(proto, precision)
        self.precision = precision
        self.exclude = exclude
        graph = proto.graph
        self.graph = graph
        self.nodes = tuple(graph.node)
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.excluded = {
            index
            for index, node in enumerate(self.nodes)
            if any(fnmatch.fnmatchcase(node.name, pattern) for pattern in exclude)
        }
        candidates = [index for index, node in enumerate(self.nodes) if node.op_type in QUANTIZABLE]
        self.inside = {
            str(node.name): sum(
                inner.op_type in QUANTIZABLE for body in bodies_of(node) for inner in nodes_inside(body)
            )
            for node in nodes_with_bodies(graph)
        }
        self.quantizable = len(candidates) + sum(self.inside.values())
        self.unfit = [index for index in candidates if not self._fits(self.nodes[index])]
        self.chosen = [index for index in candidates if index not in self.excluded and index not in self.unfit]
        self._require_something()
        self.reads = Counter(
            value
            for index, node in enumerate(self.nodes)
            if index not in self.excluded
            for value in (*node.input, *captured_by(node))
        )
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for value in (*node.input, *captured_by(node)):
                self.readers.setdefault(value, []).append(node)

    def _fits(self, node: onnx.NodeProto) -> bool:
        """Whether weights are constants of the graph, in fp32, which makes them quantisable per channel."""
        constants = [self.weights[value] for value in node.input[:2] if value in self.weights]
        if node.op_type != "MatMul" and node.input[1] not in self.weights:
            return False
        return all(tensor.data_type == 1 for tensor in constants)

    def _require_something(self) -> None:
        if self.chosen:
            return
        ops = sorted({node.op_type for node in self.nodes})
        inside = [f"{count} of them inside of node {name}" for name, count in self.inside.items() if count]
        raise ArtifactError(
            f"there is nothing to quantise to {self.precision}",
            values=f"{self.quantizable} convolutions and matrix products, "
            + "".join(f"{words}, " for words in inside)
            + f"{len(self.excluded)} nodes excluded; operators: {', '.join(ops)}",
            remedy="quantisation is of Conv, ConvTranspose, Gemm and MatMul with constant weights; exclude fewer nodes",
        )

    def observed(self) -> tuple[str, ...]:
        """Activations that get a pair, and those whose range another one gets."""
        wanted = {self.lender(value) for value in self.activations()}
        return tuple(value for value in self._order() if value in wanted)

    def activations(self) -> frozenset[str]:
        """Tensors that get a Q/DQ pair."""
        found: set[str] = set()
        for index in self.chosen:
            node = self.nodes[index]
            found.update(value for value in node.input[:2] if value not in self.weights)
            if self.precision is Precision.INT8 and node.op_type in {"Conv", "ConvTranspose"}:
                found.update(value for value in node.output[:1] if value not in self.outputs)
        return frozenset(found)

    def pairs(self, value: str) -> int:
        """How many Q/DQ pairs a tensor gets: for int8 one for each reader that reads rounded values."""
        return max(1, self.reads[value]) if self.precision is Precision.INT8 else 1

    def lender(self, value: str) -> str:
        """The tensor whose range a tensor gets: its ReLU's output where only a ReLU reads it, else itself."""
        readers = self.readers.get(value, [])
        if value in self.outputs or len(readers) != 1 or not self._is_rectifier(readers[0]):
            return value
        made = str(readers[0].output[0])
        return made if made not in self.outputs else value

    def _is_rectifier(self, node: onnx.NodeProto) -> bool:
        from onnx import numpy_helper

        if node.op_type == "Relu":
            return True
        if node.op_type != "Clip" or len(node.input) < 2 or node.input[1] not in self.weights:
            return False
        return float(numpy_helper.to_array(self.weights[node.input[1]])) == 0.0

    def _order(self) -> Iterator[str]:
        seen = set()
        for node in self.nodes:
            for value in (*node.input, *node.output):
                if value and value not in seen and value not in self.weights:
                    seen.add(value)
                    yield str(value)

    def warnings(self) -> Iterator[str]:
        """Nodes that stay unquantised without being excluded, and patterns that match nothing."""
        if kept := kept_inside_in_words(self.graph):
            yield kept
        if self.unfit:
            names = ", ".join(self.nodes[index].name for index in self.unfit[:5])
            yield f"{len(self.unfit)} nodes without constant fp32 weights are not quantised: {names}"
        for pattern in self.exclude:
            if not any(fnmatch.fnmatchcase(node.name, pattern) for node in self.nodes):
                yield f"--exclude '{pattern}' matches no node"


@dataclass
class _QuantizePass:
    """One pass over one graph, in place."""

    graph: onnx.GraphProto
    plan: _Plan
    format: Format
    scale_type: type[np.floating]
    encode: Encode
    made: list[onnx.NodeProto] = field(default_factory=list)
    weights_made: dict[tuple[str, int | None], str] = field(default_factory=dict)

    def run(self, ranges: Mapping[str, float]) -> None:
        """Pairs behind the tensors, eight-bit weights before their readers, in the order of the graph."""
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.taken = {*self.constants, *_names_in(self.graph)}
        wanted = self.plan.activations()
        renamed: dict[str, list[str]] = {}
        nodes = [copy.deepcopy(node) for node in self.graph.node]  # clearing the graph would clear them
        for value in self.graph.input:
            if value.name in wanted:
                renamed[value.name] = self._pairs(value.name, ranges, "")
        chosen = set(self.plan.chosen)
        for index, node in enumerate(nodes):
            if index not in self.plan.excluded:
                node.input[:] = [_next_of(renamed.get(value, [value])) for value in node.input]
                captured = [value for value in captured_by(node) if value in renamed]
                rename_captured(node, {value: _next_of(renamed[value]) for value in captured})
            if index in chosen:
                self._quantize_weights(node)
            self.made.append(node)
            for value in node.output:
                if value in wanted:
                    renamed[value] = self._pairs(value, ranges, _module_of(node))
        del self.graph.node[:]
        self.graph.node.extend(self.made)
        del self.graph.value_info[:]
        self._drop_unread()

    def _pairs(self, value: str, ranges: Mapping[str, float], module: str) -> list[str]:
        """Adds Q and DQ behind a tensor, for each of its readers; returns what they read then, in their order."""
        return [self._pair(value, ranges, module, number) for number in range(self.plan.pairs(value))]

    def _pair(self, value: str, ranges: Mapping[str, float], module: str, number: int) -> str:
        top = ranges.get(self.plan.lender(value), float("nan"))
        if not np.isfinite(top):
            raise ArtifactError(
                f"the range of {value} is unknown",
                values=f"largest magnitude {top}",
                remedy="the network overflowed or gave NaN on the calibration data; exclude the layer, or check "
                "weights and data",
            )
        scale = self._constant(f"{value}.scale", scales_of(np.array(top), self.format, self.scale_type))
        zero = self._zero(f"{value}.zero", ())
        eight, back = self._free(f"{value}.q"), self._free(f"{value}.dq")
        mark = f"_{number}" if number else ""
        self._add("QuantizeLinear", [value, scale, zero], eight, f"{value}.quantize{mark}", module)
        self._add("DequantizeLinear", [eight, scale, zero], back, f"{value}.dequantize{mark}", module)
        return back

    def _quantize_weights(self, node: onnx.NodeProto) -> None:
        for position, name in enumerate(node.input[:2]):
            tensor = self.constants.get(name)
            if tensor is None:
                continue
            axis = _channel_axis(node, position, len(tensor.dims))
            if (name, axis) not in self.weights_made:
                self.weights_made[name, axis] = self._eight_bit_weights(tensor, axis, _module_of(node))
            node.input[position] = self.weights_made[name, axis]

    def _eight_bit_weights(self, tensor: onnx.TensorProto, axis: int | None, module: str) -> str:
        """Adds the weight and its DequantizeLinear; returns what the reader reads then."""
        name = tensor.name
        made = self.encode(tensor, axis, self.format, self.scale_type)
        made.tensor.name = eight = self._free(f"{name}.q")
        self.graph.initializer.append(made.tensor)
        inputs = [eight, self._constant(f"{name}.scale", made.scale), self._zero(f"{name}.zero", made.scale.shape)]
        back = self._free(f"{name}.dq")
        node = self._add("DequantizeLinear", inputs, back, f"{name}.dequantize", module)
        if axis is not None:
            import onnx

            node.attribute.append(onnx.helper.make_attribute("axis", axis))
        return back

    def _add(self, op: str, inputs: list[str], output: str, name: str, module: str) -> onnx.NodeProto:
        import onnx

        node = onnx.helper.make_node(op, inputs, [output], name=name)
        if module:
            node.metadata_props.add(key="benchbox.module", value=module)
        self.made.append(node)
        return node

    def _constant(self, name: str, array: np.ndarray) -> str:
        from onnx import numpy_helper

        free = self._free(name)
        self.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), free))
        return free

    def _zero(self, name: str, shape: tuple[int, ...]) -> str:
        free = self._free(name)
        self.graph.initializer.append(self.format.tensor(np.zeros(shape, dtype=np.float32), free))
        return free

    def _free(self, wanted: str) -> str:
        name, number = wanted, 0
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name

    def _drop_unread(self) -> None:
        read = {value for node in self.graph.node for value in (*node.input, *captured_by(node))}
        read |= {value.name for value in self.graph.output}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in read]
        if len(kept) < len(self.graph.initializer):
            copies = [copy.deepcopy(tensor) for tensor in kept]
            del self.graph.initializer[:]
            self.graph.initializer.extend(copies)


def _names_in(graph: onnx.GraphProto) -> Iterator[str]:
    """All names of tensors that the nodes of a graph and of its branches and loops read or make."""
    for node in nodes_inside(graph):
        yield from (*node.input, *node.output)
        for body in bodies_of(node):
            yield from (value.name for value in (*body.input, *body.output))
            yield from (tensor.name for tensor in body.initializer)


def _next_of(names: list[str]) -> str:
    """The first of some names, taken off unless it is the last."""
    return names.pop(0) if len(names) > 1 else names[0]


def _channel_axis(node: onnx.NodeProto, position: int, rank: int) -> int | None:
    """The axis of a weight that counts output channels; None for one scale for all of it."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1 if attributes.get("group", 1) == 1 else None
    if position == 1 and rank == 2:
        return 0 if node.op_type == "Gemm" and attributes.get("transB", 0) else 1
    return None


def _module_of(node: onnx.NodeProto) -> str:
    return next((str(entry.value) for entry in node.metadata_props if entry.key == "benchbox.module"), "")


def _require_quantizable_graph(proto: onnx.ModelProto, precision: Precision) -> None:
    require_plain(proto, f"quantised to {precision}")
    opset = opset_of(proto)
    if opset < OPSET_NEEDED:
        raise ArtifactError(
            f"a network of opset {opset} cannot be quantised to {precision}",
            values=f"Q/DQ nodes with these types need opset {OPSET_NEEDED}",
            remedy="raise it with onnx.version_converter, or export the network again",
        )
