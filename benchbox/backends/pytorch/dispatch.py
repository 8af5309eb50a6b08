"""Which matrix operations did PyTorch dispatch, in which module, and in which types?

Watched where every operation passes, by a dispatch mode: also products that are no layers of their own are seen. Hooks
around the modules record in which one an operation runs. Only a session that is inspected is watched; it is slower.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.proof import UNREPORTED, tf32_option

if TYPE_CHECKING:
    import torch

_TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64", "int8": "int8", "uint8": "int8"}
# Operators of ATen with multiply-adds, before and after they are taken apart.
_MATRIX = re.compile(
    r"conv(?!ert)|linear$|mm$|^_?(?:scaled_)?matmul|^addm?v$|^mv$|scaled_dot_product|multi_head_attention|einsum"
    r"|^(?:\w*_)?(?:lstm|gru|rnn)"
)


class DispatchWatch:
    """What a module dispatches while it runs.

    Args:
        module: is given hooks, and keeps them.
        torch_module: ``torch``.
    """

    def __init__(self, torch_module: Any, module: torch.nn.Module) -> None:
        self._torch = torch_module
        self._paths: list[str] = [""]
        self._seen: dict[str, dict[str, set[str]]] = {}
        for path, part in module.named_modules():
            if path:
                part.register_forward_pre_hook(self._entering(path))
                part.register_forward_hook(self._leaving, always_call=True)
        self._mode = self._dispatch_mode()

    def around(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, watched."""

        def watched(*inputs: torch.Tensor) -> Any:
            with self._mode:
                return run(*inputs)

        return watched

    def layers(self) -> tuple[ExecutedLayer, ...]:
        """One layer for each module that matrix operations ran in, in the order of their first run.

        Where a module's operations differ in type, which is which is not reported.
        """
        return tuple(
            ExecutedLayer(
                name=path or "the network itself",
                kind=" ".join(operators),
                inputs=tuple(sorted(types := set().union(*operators.values()))),
                computes=next(iter(types)) if len(types) == 1 else UNREPORTED,
                module=path,
            )
            for path, operators in self._seen.items()
        )

    def executed(self) -> dict[str, int]:
        """How many modules with matrix operations computed in which type."""
        return dict(Counter(layer.executed for layer in self.layers()))

    def _entering(self, path: str) -> Callable[..., None]:
        def enter(*_: Any) -> None:
            self._paths.append(path)

        return enter

    def _leaving(self, *_: Any) -> None:
        self._paths.pop()

    def _note(self, operator: str, arguments: Any) -> None:
        if not _MATRIX.search(operator):
            return
        tensors = [entry for entry in arguments if isinstance(entry, self._torch.Tensor)]
        kind = str(tensors[0].dtype).removeprefix("torch.") if tensors else ""
        types = self._seen.setdefault(self._paths[-1], {}).setdefault(operator, set())
        types.add(_TYPES.get(kind, kind or UNREPORTED))

    def _dispatch_mode(self) -> Any:
        from torch.utils import _python_dispatch  # noqa: PLC2701

        watch = self
        base: Any = _python_dispatch.TorchDispatchMode  # without types of its own

        class Mode(base):  # type: ignore[misc]
            """Notes an operation and lets it run."""

            def __torch_dispatch__(
                self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
            ) -> Any:
                watch._note(func._schema.name.partition("::")[2], args)
                return func(*args, **(kwargs or {}))

        return Mode()


def tf32_switches(torch_module: Any) -> dict[str, str]:
    """PyTorch's switches of TF32 as it reports them, the newer names beside the older where it has them."""
    backends = torch_module.backends
    switches = {
        "matmul_allow_tf32": str(backends.cuda.matmul.allow_tf32),
        "cudnn_allow_tf32": str(backends.cudnn.allow_tf32),
    }
    for name, place in (("matmul", backends.cuda.matmul), ("conv", getattr(backends.cudnn, "conv", None))):
        precision = getattr(place, "fp32_precision", None)
        if precision is not None:
            switches[f"{name}_fp32_precision"] = str(precision)
    return switches


def short_type(torch_module: Any, precision: Precision) -> Any:
    """The type that a module and its inputs are cast to in fp16 and bf16; None where they stay as they are."""
    return {Precision.FP16: torch_module.float16, Precision.BF16: torch_module.bfloat16}.get(precision)


def allow_tf32(torch_module: Any, allowed: bool) -> None:
    """Sets TF32 for matrix products and convolutions alike; PyTorch's own defaults differ between the two.

    By the older names: they set the newer ones too, while mixing both makes PyTorch raise when either is read.
    """
    torch_module.backends.cuda.matmul.allow_tf32 = allowed
    torch_module.backends.cudnn.allow_tf32 = allowed


def tf32_evidence(torch_module: Any, *, has: bool) -> dict[str, str]:
    """The uniform entry: allowed if any of the switches that PyTorch reports allows it."""
    switches = tf32_switches(torch_module).values()
    return tf32_option(has=has, allowed=any(value in {"True", "tf32"} for value in switches))
