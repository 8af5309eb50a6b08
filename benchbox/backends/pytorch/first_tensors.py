"""How does a module that changes tensors of its own give the same outputs for the same inputs again?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class FirstTensors:
    """The buffers, and other tensors of its own, that a module was opened with.

    An inference that leaves a count or a cache behind changes the next one. What is compared with a graph, which
    keeps nothing, begins with these values.
    """

    def __init__(self, torch_module: Any, module: nn.Module) -> None:
        self._torch = torch_module
        self._kept = [
            (layer, name, value, value.clone())
            for layer in module.modules()
            for name, value in [*layer.named_buffers(recurse=False), *vars(layer).items()]
            if isinstance(value, torch_module.Tensor) and not isinstance(value, torch_module.nn.Parameter)
        ]

    def put_back(self) -> None:
        """Gives the module the tensors that it had, with the values that they had."""
        with self._torch.inference_mode():
            for layer, name, value, first in self._kept:
                if getattr(layer, name, None) is not value:
                    setattr(layer, name, value)
                value.copy_(first)
