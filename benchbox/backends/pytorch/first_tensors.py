"""How does a module that changes tensors of its own give the same outputs for the same inputs again?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class FirstTensors:
    """The buffers, and other tensors of its own, that a module was opened with.

    An inference that leaves a count or a cache behind changes the next one. What is compared with a graph, which
    keeps nothing, begins with these values. Tensors that nothing was written to are not touched: a network has
    hundreds of statistics that only training changes, and uploads may be timed.

    Args:
        torch_module: ``torch``.
        module: as it is opened; the values are kept in the host's memory.
        unseen_writes: PyTorch does not count what is written to its tensors, as when a CUDA graph is replayed: all
            values are put back.
    """

    def __init__(self, torch_module: Any, module: nn.Module, *, unseen_writes: bool = False) -> None:
        self._torch = torch_module
        self._unseen_writes = unseen_writes
        self._kept = [
            (holder, name, value, value.detach().to("cpu", copy=True))
            for layer in module.modules()
            for holder in (vars(layer).get("_buffers", {}), vars(layer))
            for name, value in holder.items()
            if isinstance(value, torch_module.Tensor) and not isinstance(value, torch_module.nn.Parameter)
        ]
        self._written = [_writes(value) for _, _, value, _ in self._kept]

    def put_back(self) -> None:
        """Gives the module the tensors that it had, with the values that they had."""
        for place, (holder, name, value, first) in enumerate(self._kept):
            if holder.get(name) is not value:
                holder[name] = value
            if self._unseen_writes or (written := _writes(value)) is None or written != self._written[place]:
                with self._torch.inference_mode():
                    value.copy_(first)
                self._written[place] = _writes(value)


def _writes(value: Any) -> int | None:
    """How often a tensor was written to, as PyTorch counts it; None where it does not."""
    return None if value.is_inference() else value._version
