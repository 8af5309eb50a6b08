"""How does PyTorch run a network itself, on the CPU, in eager mode?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchbox.backends.base import BACKENDS, Availability, Grade, OpenRequest
from benchbox.backends.clock import HostStopwatch
from benchbox.backends.pytorch.dispatch import DispatchWatch, allow_tf32, short_type
from benchbox.backends.pytorch.first_tensors import FirstTensors
from benchbox.backends.pytorch.outputs import in_float, tensors_in
from benchbox.errors import EnvironmentLackError
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.proof import TF32_ABSENT, TF32_OPTION
from benchbox.schema.trial import Evidence

if TYPE_CHECKING:
    import torch

    from benchbox.backends.base import Arrays

_REFUSALS = {
    Precision.FP64: "PyTorch modules are measured in fp32 and less; fp64 is that of an ONNX file",
    Precision.TF32: "a CPU has no TF32: fp32 is what it computes",
    Precision.INT8: "PyTorch would quantise the module in a way of its own, not as the ONNX file is quantised",
    Precision.FP8: "PyTorch has no fp8 convolutions on a CPU",
    Precision.INT4: "PyTorch would store the module's weights in a way of its own, not as the ONNX file does",
}

# What the processor must have for oneDNN to compute in a 16-bit type rather than emulate it.
_INSTRUCTIONS = {
    Precision.BF16: frozenset({"avx512_bf16", "amx_bf16"}),
    Precision.FP16: frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
}


class PyTorchBackend:
    """PyTorch, eager, CPU."""

    name: ClassVar[str] = "pytorch"
    device: ClassVar[str] = "cpu"
    consumes: ClassVar[str] = "module"
    virtual: ClassVar[bool] = False
    rank: ClassVar[int] = 6

    def probe(self) -> Availability:
        """Whether PyTorch is installed; it is not imported for that."""
        if importlib.util.find_spec("torch") is None:
            return Availability(usable=False, reason="PyTorch is not installed", remedy="pip install 'benchbox[torch]'")
        return Availability(usable=True, version=importlib.metadata.version("torch"), device=self.device)

    def refusal(self, precision: Precision) -> str | None:
        """fp32, fp16 and bf16 run: the latter two as they are defined, fast only where the CPU has them."""
        return _REFUSALS.get(precision)

    def grade(self, precision: Precision, isa: frozenset[str]) -> tuple[Grade, str]:
        """16-bit types are native where oneDNN finds instructions for them; elsewhere it has slow kernels."""
        wanted = _INSTRUCTIONS.get(precision)
        if wanted is None or isa & wanted:
            return Grade.NATIVE, ""
        return Grade.SLOWLY, f"it computes in {precision} without instructions for it, many times slower than in fp32"

    def open(self, request: OpenRequest) -> PyTorchSession:
        """A module in eval mode; sets this process's thread counts."""
        try:
            import torch
        except ImportError as error:
            raise EnvironmentLackError(
                "PyTorch is not installed", values=str(error), remedy="pip install 'benchbox[torch]'"
            ) from error
        torch.set_num_threads(request.threads)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        allow_tf32(torch, request.precision is Precision.TF32)
        for place in _mkldnn_switches(torch):
            place.fp32_precision = "ieee"  # else oneDNN may be set to compute fp32 products in less
        return PyTorchSession(torch, request)


class PyTorchSession:
    """One module with resident inputs; fp16 and bf16 cast at the border, as the ONNX graphs do."""

    def __init__(self, torch_module: Any, request: OpenRequest) -> None:
        assert request.module is not None, "a backend that consumes modules is given one"
        self.stopwatch = HostStopwatch()
        self._torch = torch_module
        self._request = request
        self._module = request.module().eval()
        self._short = short_type(torch_module, request.precision)
        if self._short is not None:
            self._module = self._module.to(self._short)
        self._first = FirstTensors(torch_module, self._module)
        self._inputs: dict[int, tuple[torch.Tensor, ...]] = {}
        self._outputs: dict[int, Any] = {}
        self._watch = DispatchWatch(torch_module, self._module) if request.inspect else None
        self._forward = self._watch.around(self._module) if self._watch else self._module

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Copies the arrays into tensors; tensors that the module keeps are as they were first."""
        self._first.put_back()
        self._inputs[slot] = tuple(
            self._torch.from_numpy(np.array(arrays[spec.name], order="C", copy=True)) for spec in self._request.inputs
        )

    def enqueue(self, slot: int) -> None:
        """Runs the module; in eager mode on the CPU it is done on return."""
        with self._torch.inference_mode():
            if self._short is not None:
                cast = (
                    tensor.to(self._short) if tensor.is_floating_point() else tensor for tensor in self._inputs[slot]
                )
                self._outputs[slot] = in_float(self._forward(*cast))
            else:
                self._outputs[slot] = self._forward(*self._inputs[slot])

    def synchronize(self) -> None:
        """Nothing to wait for: a CPU run is done on return."""

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """Copies of the slot's outputs, named as in the ONNX graph."""
        tensors = tensors_in(self._outputs[slot])
        return {
            spec.name: np.array(tensor.numpy(), copy=True)
            for spec, tensor in zip(self._request.outputs, tensors, strict=True)
        }

    def evidence(self) -> Evidence:
        """Threads and switches as PyTorch reports them; executed types as they were dispatched."""
        return Evidence(
            backend=PyTorchBackend.name,
            device=PyTorchBackend.device,
            providers=("eager",),
            threads=self._torch.get_num_threads(),
            executed=self._watch.executed() if self._watch else None,
            options={
                TF32_OPTION: TF32_ABSENT,
                **{
                    f"mkldnn_{name}_fp32_precision": str(place.fp32_precision)
                    for name, place in zip(("matmul", "conv"), _mkldnn_switches(self._torch), strict=False)
                },
                "inter_op_num_threads": str(self._torch.get_num_interop_threads()),
                "mkldnn": str(self._torch.backends.mkldnn.is_available()),
            },
            versions={"torch": str(self._torch.__version__)},
        )

    def reported_layers(self) -> tuple[ExecutedLayer, ...]:
        """The modules that matrix operations ran in; only in a session opened for inspection."""
        assert self._watch is not None, "a session that is not inspected is not watched"
        return self._watch.layers()

    def close(self) -> None:
        """Drops the module and its tensors."""
        self._inputs.clear()
        self._outputs.clear()


def _mkldnn_switches(torch_module: Any) -> tuple[Any, ...]:
    """What says how precise oneDNN's fp32 products and convolutions are; nothing in versions before 2.9."""
    places = (getattr(torch_module.backends.mkldnn, name, None) for name in ("matmul", "conv"))
    return tuple(place for place in places if hasattr(place, "fp32_precision"))


BACKENDS.register(PyTorchBackend.name, PyTorchBackend())
