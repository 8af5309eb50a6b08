"""What does a network cost analytically, layer by layer?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """The cost of one ONNX node at the batch size of the count.

    ``name`` is the path of the PyTorch module (or the node's own name), ``op`` the ONNX operator.
    ``macs`` are multiply-adds of convolutions and matrix products; ``elementwise`` are all other
    arithmetic operations. ``params`` are trainable parameters of the network that this node stands for,
    also where the exporter folded them away; ``weight_bytes`` are the bytes of the constants the node
    reads, ``read_bytes`` of activations it reads, ``write_bytes`` of what it writes. ``count`` is the
    layer's cost as one number, in the convention of the count.
    """

    name: str
    op: str
    output_shape: tuple[int, ...]
    macs: int = 0
    elementwise: int = 0
    params: int = 0
    weight_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    count: int = 0

    @property
    def flops(self) -> int:
        """2·macs + elementwise: a multiply-add is two operations (docs/metrics.md)."""
        return 2 * self.macs + self.elementwise

    @property
    def intensity(self) -> float | None:
        """Operations per byte that is moved if every tensor is read and written once; None where nothing moves.

        Williams, Waterman and Patterson 2009, Roofline, section 3.
        """
        return self.flops / self.moved_bytes if self.moved_bytes else None

    @property
    def moved_bytes(self) -> int:
        """Bytes if every tensor, weights included, is read and written once."""
        return self.weight_bytes + self.read_bytes + self.write_bytes


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """The cost of a whole network at one batch size, and its layers in the order of execution.

    ``onnx_nodes`` are the nodes of the file, those inside branches and loops too.
    ``activation_bytes`` is the sum over all tensors that nodes write; ``peak_activation_bytes`` is the
    largest sum of tensors alive at once when nodes run in the file's order (docs/metrics.md).
    ``convention`` says what the ``count`` of a layer is; ``uncounted`` names nodes without a cost rule, and arithmetic
    on tensors whose sizes depend on data, which count as zero; ``unsized`` the nodes that make the first such tensors,
    which are taken as empty.
    """

    model: str
    input_shape: tuple[int, ...]
    batch: int
    onnx_sha256: str
    params: int
    onnx_nodes: int
    weight_bytes: int
    activation_bytes: int
    peak_activation_bytes: int
    convention: str
    layers: tuple[LayerCost, ...]
    uncounted: tuple[str, ...] = ()
    unsized: tuple[str, ...] = ()

    @property
    def fed(self) -> str:
        """The network and its first input in words, for titles: the network alone where that has no sizes."""
        sizes = "x".join(map(str, self.input_shape))
        return f"{self.model}, input {sizes}" if sizes else self.model

    @property
    def count(self) -> int:
        """The cost as one number, in the convention of the count."""
        return sum(layer.count for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def flops(self) -> int:
        """Operations of all layers: 2·macs plus elementwise."""
        return sum(layer.flops for layer in self.layers)


@dataclass(frozen=True, kw_only=True)
class PrecisionCost:
    """A network's analytical cost in one precision, every tensor as wide as it is stored.

    ``cost`` has the fp32 graph's layers under their names, and further ones for casts and quantisations that stay
    layers of their own (``added``). ``least_bytes`` is what each layer's kernel must move when all that can be is
    fused, by name, 0 for a layer inside another's kernel. ``types`` says what each layer computes in ("int8"), by name.
    ``packed`` are layers whose weights are stored in four bits, whatever they compute in.
    ``unpacking`` are nodes that dequantise constants: a runtime need not do that in an inference.
    ``variant`` holds the choices of the derivation ("exclude=layer4.* fallback=fp16"), "" for the usual ones.
    """

    precision: str
    variant: str
    cost: NetworkCost
    types: Mapping[str, str]
    least_bytes: Mapping[str, int]
    added: frozenset[str]
    unpacking: frozenset[str] = frozenset()
    packed: frozenset[str] = frozenset()

    @property
    def macs_in_precision(self) -> int:
        """Multiply-adds of layers that compute in the precision; in int4 of those whose weights are stored so."""
        if self.precision == "int4":
            return sum(layer.macs for layer in self.cost.layers if layer.name in self.packed)
        return sum(layer.macs for layer in self.cost.layers if self.types[layer.name] == self.precision)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How much faster than the base (fp32) a layer, or several together, can be at most in a precision.

    ``compute`` is the limit if only arithmetic took time (ratio of the base's to the precision's), ``memory`` if only
    bytes did; ``ideal`` is that of the roofline, where the device's balance is known. ``time_s`` and
    ``base_time_s`` are the roofline's least times. ``by`` says what takes the time in the precision: "compute" or
    "memory". None and "" stand for what cannot be said.
    """

    compute: float | None
    memory: float | None
    ideal: float | None = None
    time_s: float | None = None
    base_time_s: float | None = None
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class BoundRow:
    """One layer, or all of one kind, in a precision beside the base: bytes, multiply-adds and the bound.

    ``types`` are those that the layers compute in, in the order of first appearance. ``weight_bytes``, ``read_bytes``
    and ``write_bytes`` are of each layer by itself, ``least_bytes`` of the kernels that they lead (0 inside another's),
    ``base_bytes`` the same in the base.
    """

    name: str
    op: str
    layers: int
    types: tuple[str, ...]
    macs: int
    weight_bytes: int
    read_bytes: int
    write_bytes: int
    least_bytes: int
    base_bytes: int
    bound: Bound
