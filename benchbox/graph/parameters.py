"""How many trainable parameters does each node of an ONNX graph stand for?

In a file that benchbox exported every node carries the number. In a file from elsewhere it must be read off. Weights
are initialisers of floating point, less what is no parameter (statistics of batch norms, scales of quantisation). But
the exporters of PyTorch change them: they fold batch norms into convolutions, share initialisers of equal values, and
drop biases that are all zero (as in a network that was never trained). They leave traces, and these are read:

* ``torch.onnx.export(dynamo=True)`` notes on every node the call of PyTorch that it came from, with the names of its
  parameters (``%p_layer1_0_conv1_weight``), and which rewriting rules were applied;
* the older TorchScript exporter gives a weight that it computed a number for a name (``onnx::Conv_193``) and shared
  initialisers an Identity node. Whether a folded convolution had a bias of its own it does not say: none is assumed.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from benchbox.graph.propagation import size_arithmetic

if TYPE_CHECKING:
    import onnx

_CALL, _RULES, _NOTED = "pkg.torch.onnx.fx_node", "pkg.onnxscript.rewriter.rule_name", "benchbox.params"
_PARAMETER = re.compile(r"%(p_\w+)")
_CALL_NAME = re.compile(r"%(\w+)")
# A parameter that the exporter reshaped ahead of time is an initialiser named after the call that reshaped it.
_RESHAPED = re.compile(r"(view|expand|reshape|permute|transpose|t|unsqueeze|squeeze|slice|select|index|clone)(_\d+)?")
_COMPUTED_BY_TORCHSCRIPT = re.compile(r"onnx::(Conv|ConvTranspose)_\d+")
# TensorProto.DataType: float, float16, double, bfloat16.
_FLOATS = frozenset({1, 10, 11, 16})
_EVERY = frozenset(range(64))
# Inputs that are no parameters, by operator: statistics, limits, scales, sizes, initial states.
_FIXED_INPUTS: dict[str, frozenset[int]] = {
    "Attention": _EVERY - {0, 1, 2},
    "BatchNormalization": frozenset({3, 4}),
    "CastLike": _EVERY - {0},
    "Clip": _EVERY - {0},
    "ConstantOfShape": _EVERY,
    "DequantizeLinear": _EVERY - {0},
    "Expand": _EVERY - {0},
    "GRU": frozenset({4, 5}),
    "Gather": frozenset({1}),
    "GatherElements": frozenset({1}),
    "GatherND": frozenset({1}),
    "GroupQueryAttention": _EVERY - {0, 1, 2},
    "LSTM": frozenset({4, 5, 6}),
    "MelWeightMatrix": _EVERY,
    "MultiHeadAttention": _EVERY - {0, 1, 2, 3},
    "NonMaxSuppression": _EVERY,
    "OneHot": _EVERY,
    "Pad": _EVERY - {0},
    "QuantizeLinear": _EVERY - {0},
    "RNN": frozenset({4, 5}),
    "Range": _EVERY,
    "Reshape": _EVERY - {0},
    "Resize": _EVERY - {0},
    "RotaryEmbedding": _EVERY - {0},
    "Slice": _EVERY - {0},
    "Split": _EVERY - {0},
    "Squeeze": _EVERY - {0},
    "STFT": _EVERY - {0},
    "Tile": _EVERY - {0},
    "TopK": _EVERY - {0},
    "Unsqueeze": _EVERY - {0},
    "Upsample": _EVERY - {0},
}
_STATES = {"GRU": frozenset({5}), "LSTM": frozenset({5, 6}), "RNN": frozenset({5})}
# Inputs that are weights and biases stored as integers, by operator; the others of these operators are scales, zero
# points and activations.
_QUANTISED_INPUTS: dict[str, frozenset[int]] = {
    "ConvInteger": frozenset({1}),
    "DequantizeLinear": frozenset({0}),
    "DynamicQuantizeLSTM": frozenset({1, 2, 3}),
    "DynamicQuantizeMatMul": frozenset({1, 4}),
    "MatMulInteger": frozenset({0, 1}),
    "GatherBlockQuantized": frozenset({0}),
    "MatMulBnb4": frozenset({1}),
    "MatMulIntegerToFloat": frozenset({0, 1, 6}),
    "MatMulNBits": frozenset({1, 5}),
    "QAttention": frozenset({1, 2}),
    "QEmbedLayerNormalization": frozenset({2, 3, 4, 5, 6}),
    "QGemm": frozenset({3, 6}),
    "QLinearAdd": frozenset({0, 3}),
    "QLinearConv": frozenset({3, 8}),
    "QLinearMatMul": frozenset({0, 3}),
    "QLinearMul": frozenset({0, 3}),
}
# Products whose weights are packed several to a byte: how many there are is said by attributes.
_PACKED = frozenset({"MatMulBnb4", "MatMulNBits"})
# TensorProto.DataType of what a table of eight-bit rows may be: uint8, int8, int4 and so on are looked up, indices not.
_EIGHT_BIT = frozenset({2, 3, 17, 18, 19, 20, 21, 22})
# Operators by which a scalar that a network learnt may act (a temperature, a gate); elsewhere it is a literal.
_SCALED = frozenset({"Add", "Mul"})
# Steps in which weights are made of bytes, and masks of floats are made of whole numbers.
_ARITHMETIC = frozenset(
    {"Add", "Cast", "Div", "Expand", "Identity", "Mul", "Reshape", "Squeeze", "Sub", "Transpose", "Unsqueeze"}
)
_MAKES_NO_FLOATS = frozenset(
    {"And", "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "NonZero", "Not", "Or"}
    | {"Shape", "Size"}
)
_PICKS = (_ARITHMETIC | {"Concat", "Gather", "ReduceMax", "ReduceProd", "ReduceSum", "Slice"}) - {"Cast"}
# What an epsilon is added for, what 1 is added to in a GELU, and what lies between the scores of attention and Softmax.
_ROOTS = frozenset({"Pow", "Reciprocal", "Sqrt"})
_OF_GELU = frozenset({"Erf", "Tanh"})
_TO_SOFTMAX = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Reshape", "Sub", "Transpose", "Where"})
_STEPS = 8
# What is done to pictures before the first layer.
_PREPARES = frozenset({"Cast", "Div", "Identity", "Reshape", "Squeeze", "Sub", "Transpose", "Unsqueeze"})


def params_per_node(
    graph: onnx.GraphProto,
    names: Sequence[str],
    stored: Mapping[str, onnx.TensorProto],
    constants: Mapping[str, object],
    *,
    producer: str,
) -> dict[str, int]:
    """Trainable parameters per node name; a parameter that several nodes read is given to the first of them.

    What a constant is computed from is given to the first node that reads it in an inference.

    Args:
        graph: makers before users (data is not needed).
        names: of the nodes, unique.
        stored: tensors that the file stores.
        constants: names of the tensors that follow from them.
        producer: who wrote the file.
    """
    notes = [{entry.key: entry.value for entry in node.metadata_props} for node in graph.node]
    if any(_NOTED in note for note in notes):
        return {name: int(note.get(_NOTED, 0)) for name, note in zip(names, notes, strict=True)}
    weights = _Uses(graph, stored, constants, producer).weights()
    if any(_CALL in note for note in notes):
        counts = _from_calls(graph, weights, notes)
    else:
        counts = _from_names(graph, weights, producer)
    return dict(zip(names, _moved_to_readers(graph, constants, counts), strict=True))


def _moved_to_readers(graph: onnx.GraphProto, constants: Mapping[str, object], counts: Sequence[int]) -> list[int]:
    """Counts of nodes that compute constants, moved on to the first node that reads those in an inference."""
    moved = list(counts)
    waiting: dict[str, int] = {}  # tensor: parameters behind it that no node of an inference has yet
    for place, node in enumerate(graph.node):
        moved[place] += sum(waiting.pop(value, 0) for value in dict.fromkeys(node.input))
        if moved[place] and node.output and all(value in constants for value in node.output if value):
            waiting[node.output[0]] = moved[place]
            moved[place] = 0
    return moved


class _Uses:
    """What the stored tensors are used for, in the end: as parameters, or as sizes, limits, scales."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        stored: Mapping[str, onnx.TensorProto],
        constants: Mapping[str, object],
        producer: str,
    ) -> None:
        self._graph, self._stored, self._producer = graph, stored, producer
        self._initialisers = {tensor.name for tensor in graph.initializer}
        self._initialisers |= {sparse.values.name for sparse in graph.sparse_initializer}
        self._learnt: set[str] = set()  # read as a parameter if its numbers are floats
        self._quantised: set[str] = set()  # read as one if they are integers
        self._scaling: dict[str, int] = {}  # how many nodes read it as a scalar parameter may be read
        self._from_bytes = self._made_from(lambda node: node.op_type == "Cast" and self._is_byte(node.input[0]))
        whole = self._whole_numbers()
        self._masks = self._made_from(lambda node: node.op_type == "Cast" and node.input[0] in whole)
        self._formulas = _Formulas(graph, constants)
        scales, of_sizes = self._scales(), size_arithmetic(graph, set(stored))
        for index in reversed(range(len(graph.node))):
            node = graph.node[index]
            passes = any(value in constants for value in node.output) and node.op_type != "Constant"
            for position, value in enumerate(node.input):
                if value in constants and (index not in of_sizes or (node.op_type, position) == ("Gather", 0)):
                    self._note(node, position, value, passes=passes, scales=scales)

    def _whole_numbers(self) -> set[str]:
        """Tensors that are no floats whatever the weights are: ids, masks, sizes, and what is picked out of them."""
        found = {value.name for value in self._graph.input if value.type.tensor_type.elem_type not in _FLOATS}
        for node in self._graph.node:
            picked = node.op_type in _PICKS and bool(node.input) and node.input[0] in found
            if picked or node.op_type in _MAKES_NO_FLOATS:
                found.update(node.output)
        return found

    def _is_byte(self, value: str) -> bool:
        tensor = self._stored.get(value)
        return tensor is not None and tensor.data_type in _EIGHT_BIT and bool(tensor.dims)

    def _made_from(self, begins: Callable[[onnx.NodeProto], bool]) -> set[str]:
        """What begins with the outputs of some nodes, and what arithmetic with stored numbers makes of those."""
        found: set[str] = set()
        for node in self._graph.node:
            behind = not found.isdisjoint(node.input) and set(node.input) - found - {""} <= set(self._stored)
            if node.input and (begins(node) or (behind and node.op_type in _ARITHMETIC)):
                found.update(node.output)
        return found

    def _scales(self) -> set[str]:
        """Scales of quantisation that are computed: by DynamicQuantizeLinear, and products with those."""
        found: set[str] = set()
        for node in self._graph.node:
            if node.op_type == "DynamicQuantizeLinear":
                found.update(node.output[1:])
            elif (
                node.op_type == "Mul"
                and not found.isdisjoint(node.input)
                and set(node.input) - found <= set(self._stored)
            ):
                found.update(node.output)
        return found

    def _note(self, node: onnx.NodeProto, position: int, value: str, *, passes: bool, scales: set[str]) -> None:
        weights = _QUANTISED_INPUTS.get(node.op_type)
        if weights is None and node.op_type.startswith("QLinear"):
            weights = frozenset()
        if weights is not None:
            if position in weights and (not passes or node.output[0] in self._learnt):
                self._quantised.add(value)
                self._learnt.add(value)
            return
        if position in _FIXED_INPUTS.get(node.op_type, frozenset()) and not self._is_learnt_state(node, position):
            return
        if node.op_type == "InstanceNormalization" and _normalises_groups(node):
            return
        if not scales.isdisjoint(node.input):
            return
        others = {other for other in node.input if other != value}
        if node.op_type in _ARITHMETIC and value not in self._from_bytes and not self._from_bytes.isdisjoint(others):
            return  # the scale or the zero point of weights in bytes
        stored = self._stored.get(value)
        if node.op_type in _SCALED and stored is not None and not stored.dims and not self._masks.isdisjoint(others):
            return  # the number that a mask is multiplied by
        if self._formulas.has(node, stored):
            return
        if node.op_type == "Cast" and self._is_byte(value) and (not passes or node.output[0] in self._learnt):
            self._quantised.add(value)
            return
        table = self._stored.get(value) if node.op_type == "Gather" and position == 0 else None
        if table is not None and table.data_type in _EIGHT_BIT:
            self._quantised.add(value)
        if not passes:
            self._learnt.add(value)
            if node.op_type in _SCALED:
                self._scaling[value] = self._scaling.get(value, 0) + 1
            else:
                self._scaling[value] = 2
            return
        for made in node.output:
            if made in self._learnt:
                self._learnt.add(value)
                self._scaling[value] = self._scaling.get(value, 0) + self._scaling.get(made, 0)
            if made in self._quantised:
                self._quantised.add(value)

    def _is_learnt_state(self, node: onnx.NodeProto, position: int) -> bool:
        """Whether an initial state is known to be other than zeros."""
        tensor = self._stored.get(node.input[position])
        if tensor is None or position not in _STATES.get(node.op_type, frozenset()):
            return False
        return any(tensor.raw_data) or any(tensor.float_data) or any(tensor.double_data)

    def weights(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what may be parameters, by the name under which nodes read them."""
        found = {name: tuple(tensor.dims) for name, tensor in self._stored.items() if self._is_parameter(name, tensor)}
        for node in self._graph.node:
            value = node.input[0] if node.op_type == "Identity" and node.input else ""
            # PyTorch's exporters share the initialisers of equal parameters; elsewhere an Identity is the same weight.
            if value in found and self._producer == "pytorch" and node.output[0] in self._learnt:
                found[node.output[0]] = found[value]
        return found

    def _is_parameter(self, name: str, tensor: onnx.TensorProto) -> bool:
        if self._producer == "pytorch" and name not in self._initialisers:
            return False  # its exporters write literals as Constant nodes, parameters never
        if tensor.data_type not in _FLOATS:
            return name in self._quantised
        if tensor.dims:
            return name in self._learnt
        return name in self._learnt and name in self._initialisers and self._scaling.get(name, 0) == 1


class _Formulas:
    """Which numbers belong to a formula that exporters write out, or prepare pictures?

    Tools that simplify a file make initialisers of them, which only their place tells from parameters.
    """

    def __init__(self, graph: onnx.GraphProto, constants: Mapping[str, object]) -> None:
        self._constants = constants
        self._maker = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)
        self._pictures = {value.name for value in graph.input} - constants.keys()
        for node in graph.node:
            if node.op_type in _PREPARES and node.input and node.input[0] in self._pictures:
                self._pictures.update(node.output)

    def has(self, node: onnx.NodeProto, stored: onnx.TensorProto | None) -> bool:
        """Whether what the node reads from the file is such a number."""
        if stored is None:
            return False
        if node.op_type in ("Sub", "Div") and node.input[:1] and node.input[0] in self._pictures:
            return True  # the mean and the deviation of pictures
        if math.prod(stored.dims) != 1:
            return False
        if node.op_type == "Add":
            readers = self._readers[node.output[0]]
            is_epsilon = bool(readers) and all(reader.op_type in _ROOTS for reader in readers)
            return is_epsilon or self._adds_one(node)
        return node.op_type == "Mul" and (self._is_of_gelu(node) or self._scales_scores(node, _STEPS))

    def _adds_one(self, node: onnx.NodeProto | None) -> bool:
        """1 + erf(x), or 1 + tanh(x)."""
        return node is not None and node.op_type == "Add" and any(self._made_by(name, _OF_GELU) for name in node.input)

    def _made_by(self, name: str, operators: frozenset[str]) -> bool:
        return name in self._maker and self._maker[name].op_type in operators

    def _is_of_gelu(self, node: onnx.NodeProto) -> bool:
        """0.5 in front of or behind x · (1 + erf(...)), and the factors in a tanh of it (arXiv 1606.08415)."""
        beside = [self._maker.get(name) for name in node.input]
        product = [self._maker.get(name) for other in beside if other is not None for name in other.input]
        readers = self._readers[node.output[0]]
        cofactors = [self._maker.get(name) for reader in readers if reader.op_type == "Mul" for name in reader.input]
        if any(map(self._adds_one, (*beside, *product, *cofactors))):
            return True
        ahead = [later for reader in readers if reader.op_type == "Add" for later in self._readers[reader.output[0]]]
        later = [tanh for reader in (*ahead, node) for tanh in self._readers[reader.output[0]]]
        return any(tanh.op_type == "Tanh" and any(map(self._adds_one, self._readers[tanh.output[0]])) for tanh in later)

    def _scales_scores(self, node: onnx.NodeProto, steps: int, *, multiplied: bool = False) -> bool:
        """Whether a Softmax follows, and in front of it a product of two activations: 1/√d of attention."""
        if steps == _STEPS:
            multiplied = any(self._is_product(self._maker.get(name)) for name in node.input)
        for reader in self._readers[node.output[0]] if steps else ():
            if reader.op_type == "Softmax":
                return multiplied
            product = self._is_product(reader)
            if (product and multiplied) or not (product or reader.op_type in _TO_SOFTMAX):
                continue
            if self._scales_scores(reader, steps - 1, multiplied=multiplied or product):
                return True
        return False

    def _is_product(self, node: onnx.NodeProto | None) -> bool:
        return node is not None and node.op_type == "MatMul" and self._constants.keys().isdisjoint(node.input)


def _normalises_groups(node: onnx.NodeProto) -> bool:
    """Whether PyTorch's exporter made it from a group norm: it scales by ones and shifts by zeros then."""
    return any(entry.key == _CALL and "aten.group_norm" in entry.value for entry in node.metadata_props)


def _from_names(graph: onnx.GraphProto, weights: Mapping[str, tuple[int, ...]], producer: str) -> list[int]:
    left = dict(weights)
    counts = []
    for node in graph.node:
        if node.op_type == "Identity" and node.input and node.input[0] in weights and node.output[0] in weights:
            counts.append(0)
            continue
        own = [_parameters_in(node, value, left.pop(value)) for value in dict.fromkeys(node.input) if value in left]
        folded = producer == "pytorch" and len(own) == 2 and _COMPUTED_BY_TORCHSCRIPT.fullmatch(node.input[1])
        counts.append(sum(own) + (own[1] if folded else 0))  # the folded bias stands for a scale and a shift
    return counts


def _from_calls(
    graph: onnx.GraphProto, weights: Mapping[str, tuple[int, ...]], notes: Sequence[Mapping[str, str]]
) -> list[int]:
    """By the calls of PyTorch that the nodes came from; several nodes may have come from one call.

    Vectors are counted once per set of parameters that a call names, since equal ones share an initialiser, and a layer
    may be called twice; a shared matrix is one tied weight.
    """
    read: set[tuple[str, str]] = set()  # initialisers and the call that they were counted for
    seen: set[str] = set()  # parameters named by calls so far
    counts = []
    for node, note in zip(graph.node, notes, strict=True):
        text = note.get(_CALL, "")
        call = match.group(1) if (match := _CALL_NAME.search(text)) else ""
        parameters = frozenset(_PARAMETER.findall(text.partition("args =")[2]))
        rules = note.get(_RULES, "")
        total = 0
        for value in dict.fromkeys(node.input):
            if value not in weights or value.endswith(".weight_bias"):
                continue
            size = _parameters_in(node, value, weights[value])
            named = f"p_{re.sub(r'[^0-9a-zA-Z]', '_', value)}" in parameters
            if not weights[value] and not named:
                continue  # a literal
            vector = math.prod(weights[value]) == max(weights[value], default=1)
            key = (" ".join(sorted(parameters)) or call if vector else "", value)
            if key not in read and (parameters or "." in value or _RESHAPED.fullmatch(value)):
                read.add(key)
                total += size
        counts.append(total + _vanished(node, weights, parameters - seen, rules))
        seen |= parameters if counts[-1] else frozenset()
    return counts


def _parameters_in(node: onnx.NodeProto, value: str, shape: tuple[int, ...]) -> int:
    """Parameters behind an initialiser: its elements, but for packed ones, and what was looked up beforehand.

    Attention in windows of w x w positions reads a table of (2w-1)² rows (Liu et al. 2021, arXiv 2103.14030, section
    3.2), which exporters turn into the w⁴ biases of all pairs: a tensor (w⁴, heads) or (1, heads, w², w²).
    """
    if node.op_type in _PACKED and value == node.input[1]:
        return math.prod(entry.i for entry in node.attribute if entry.name in ("K", "N"))
    if "." not in value and node.op_type in ("Add", "Reshape", "Unsqueeze", "Transpose"):
        pairs, heads = 0, 0
        if len(shape) == 2:
            pairs, heads = shape
        elif len(shape) == 4 and shape[0] == 1 and shape[2] == shape[3]:
            pairs, heads = shape[2] ** 2, shape[1]
        window = math.isqrt(math.isqrt(pairs))
        if window > 1 and window**4 == pairs:
            return (2 * window - 1) ** 2 * heads
    return math.prod(shape)


def _vanished(
    node: onnx.NodeProto, weights: Mapping[str, tuple[int, ...]], parameters: frozenset[str], rules: str
) -> int:
    """Parameters that are in the call but not in the file: a folded batch norm's, a bias of zeros."""
    weight = weights.get(node.input[1]) if len(node.input) > 1 else None
    if not weight:  # none, or a scalar: no convolution and no product has such a one
        return 0
    channels = _output_channels(node, weight)
    if "FuseBatchNorm" in rules:
        return len(parameters) * channels
    if "RemoveOptionalBias" in rules and len(parameters) > 1 and len(node.input) < 3:
        return channels
    return 0


def _output_channels(node: onnx.NodeProto, weight: tuple[int, ...]) -> int:
    attributes = {entry.name: entry.i for entry in node.attribute}
    if node.op_type == "ConvTranspose" and len(weight) > 1:
        return weight[1] * max(int(attributes.get("group", 1)), 1)
    if node.op_type == "Gemm":
        return weight[0 if attributes.get("transB", 0) else -1]
    return weight[0]
