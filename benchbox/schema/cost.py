"""What does a network cost on paper, layer by layer?"""

from __future__ import annotations

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
        moved = self.weight_bytes + self.read_bytes + self.write_bytes
        return self.flops / moved if moved else None


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """The cost of a whole network at one batch size, and its layers in the order of execution.

    ``activation_bytes`` is the sum over all tensors that nodes write; ``peak_activation_bytes`` is the
    largest sum of tensors alive at once when nodes run in the file's order (docs/metrics.md).
    ``convention`` says what the ``count`` of a layer is; ``uncounted`` names nodes without a cost rule, which count as
    zero.
    """

    model: str
    input_shape: tuple[int, ...]
    batch: int
    onnx_sha256: str
    params: int
    weight_bytes: int
    activation_bytes: int
    peak_activation_bytes: int
    convention: str
    layers: tuple[LayerCost, ...]
    uncounted: tuple[str, ...] = ()

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
