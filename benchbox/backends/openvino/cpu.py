"""How does OpenVINO run a network on the CPU, in the precision that was asked for and no other?

Left alone, OpenVINO computes an fp32 network in bf16 wherever the CPU has it. Here the precision is always pinned, read
back, and proved from the graph that the plugin executes. OpenVINO makes bf16 and fp16 itself from the fp32 ONNX file,
which is how its users get them; a precision that the CPU lacks is refused, because OpenVINO would take another one
without a word. int8 is in the graph: Q/DQ pairs become 8-bit layers, and the pin says what the rest computes in.

Inputs and outputs are tensors that are set once, and a timed call copies nothing at the border.
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchbox.backends.base import BACKENDS, Availability, Grade, OpenRequest
from benchbox.backends.clock import HostStopwatch
from benchbox.backends.eight_bit import saturates
from benchbox.backends.openvino.runtime_model import (
    executed_precisions,
    layers_from_runtime,
    matrix_operations,
    nodes_from_runtime_model,
)
from benchbox.errors import ArtifactError, EnvironmentLackError, UsageError
from benchbox.graph.external import is_linked
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.proof import TF32_ABSENT, TF32_OPTION
from benchbox.schema.trial import Evidence

if TYPE_CHECKING:
    from benchbox.backends.base import Arrays

DEVICE = "CPU"
REMEDY = "pip install 'benchbox[openvino]'"
_DISTRIBUTION = "openvino"
_TELEMETRY = "openvino_telemetry"
_REASON_LENGTH = 400
# Lines of OpenVINO's errors that name its own source files.
_NOISE = ("Exception from", "Check '")
_READ_BACK = (
    "INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS", "PERFORMANCE_HINT", "EXECUTION_MODE_HINT",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE", "ENABLE_CPU_PINNING", "ENABLE_HYPER_THREADING", "SCHEDULING_CORE_TYPE",
)  # fmt: skip
_REFUSALS = {
    Precision.FP64: "OpenVINO's CPU plugin computes fp64 graphs in fp32",
    Precision.TF32: "a CPU has no TF32: fp32 is what it computes",
    Precision.FP8: "OpenVINO's CPU plugin has no fp8 kernels",
}
# What the plugin must list among its capabilities, or it computes in something else.
_CAPABILITIES = {Precision.FP16: "FP16", Precision.BF16: "BF16", Precision.INT8: "INT8"}
_HINTS = {Precision.FP32: "f32", Precision.FP16: "f16", Precision.BF16: "bf16"}


class OpenVinoBackend:
    """OpenVINO with its CPU plugin."""

    name: ClassVar[str] = "openvino"
    device: ClassVar[str] = "cpu"
    consumes: ClassVar[str] = "onnx"
    virtual: ClassVar[bool] = False
    rank: ClassVar[int] = 8
    converts: ClassVar[frozenset[Precision]] = frozenset({Precision.FP16, Precision.BF16})

    def probe(self) -> Availability:
        """Whether OpenVINO is installed, imports, and has its CPU plugin."""
        try:
            version = importlib.metadata.version(_DISTRIBUTION)
        except importlib.metadata.PackageNotFoundError:
            return Availability(usable=False, reason="OpenVINO is not installed", remedy=REMEDY)
        try:
            devices = quiet_runtime().Core().available_devices
        except Exception as error:  # a broken wheel may raise anything; a probe never does
            reason = f"OpenVINO does not start: {reason_of(error)}"
            return Availability(usable=False, version=version, reason=reason, remedy="reinstall it")
        if DEVICE not in devices:
            found = ", ".join(devices) or "none"
            reason = f"OpenVINO has no {DEVICE} plugin here; devices: {found}"
            return Availability(usable=False, version=version, reason=reason, remedy="reinstall it")
        return Availability(usable=True, version=version, device=self.device)

    def refusal(self, precision: Precision) -> str | None:
        """fp32 runs; int8, bf16 and fp16 where the CPU computes in them. Unknown, and None, without OpenVINO."""
        if precision in _REFUSALS:
            return _REFUSALS[precision]
        wanted = _CAPABILITIES.get(precision)
        if wanted is None:
            return None
        try:
            capabilities = cpu_capabilities()
        except Exception:  # probe says what is wrong with the installation
            return None
        if wanted in capabilities:
            return None
        return f"OpenVINO does not compute in {precision} on this CPU, and would take another precision in silence"

    def grade(self, precision: Precision, isa: frozenset[str]) -> tuple[Grade, str]:
        """Native wherever it is not refused, except int8 where sums of 8-bit products saturate."""
        if precision is Precision.INT8 and saturates(isa):
            return Grade.PARTLY, "without VNNI its int8 sums saturate, and outputs may be wrong"
        if precision is Precision.INT4:
            return Grade.PARTLY, "weights stay in int4; products compute in fp32"
        return Grade.NATIVE, ""

    def open(self, request: OpenRequest) -> OpenVinoSession:
        """A session on the CPU plugin; raises ArtifactError with OpenVINO's reason for a file it cannot compile.

        UsageError for a precision that OpenVINO does not grant.
        """
        try:
            runtime = quiet_runtime()
        except ImportError as error:
            raise EnvironmentLackError("OpenVINO is not installed", values=str(error), remedy=REMEDY) from error
        refusal = self.refusal(request.precision)
        if refusal:
            raise UsageError(f"{self.name} cannot run {request.precision}", values=refusal)
        assert request.onnx_path is not None, "a backend that consumes ONNX is given a file"
        return OpenVinoSession(runtime, request)


class OpenVinoSession:
    """One ONNX file, compiled for one batch size, with an inference request and tensors of its own per slot."""

    def __init__(self, runtime: Any, request: OpenRequest) -> None:
        self.stopwatch = HostStopwatch()
        self._runtime = runtime
        self._request = request
        try:
            core = runtime.Core()
            core.set_property({"CACHE_DIR": ""})  # a compiled model on disk would be another run's
            model = core.read_model(str(request.onnx_path))
            model.reshape({spec.name: list(spec.shape) for spec in request.inputs})
            self._matrices = matrix_operations(model) if request.inspect else frozenset()
            self._compiled = core.compile_model(model, DEVICE, self._pinned())
            self._slots = [self._slot() for _ in range(request.slots)]
        except Exception as error:  # OpenVINO raises RuntimeError for everything
            raise ArtifactError(
                f"OpenVINO cannot compile {request.onnx_path}",
                values=reason_of(error),
                remedy="it reads no external data through a link: copy the folder with 'cp -rL'"
                if request.onnx_path is not None and is_linked(request.onnx_path)
                else "check the file with onnx.checker, or export it again",
            ) from error
        self._require_hint()
        # The calls of the timed path, looked up once.
        self._calls = [functools.partial(made.infer, share_outputs=True) for made, _ in self._slots]

    def _pinned(self) -> dict[str, object]:
        pinned: dict[str, object] = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": self._request.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # Else products with 8-bit weights round their other input to 8 bits, whatever the precision.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        }
        return pinned | ({"PERF_COUNT": True} if self._request.inspect else {})

    @property
    def _hint(self) -> str:
        """What everything computes in that is not quantised."""
        if self._request.precision not in (Precision.INT8, Precision.INT4):
            return _HINTS[self._request.precision]
        rest = self._request.fallback
        return _HINTS[rest if _CAPABILITIES.get(rest) in cpu_capabilities() else Precision.FP32]

    def _require_hint(self) -> None:
        given = _text(self._compiled.get_property("INFERENCE_PRECISION_HINT"))
        if given != self._hint:
            raise UsageError(
                f"openvino cannot run {self._request.precision}",
                values=f"{self._hint} was asked for, OpenVINO took {given}",
                remedy="'benchbox doctor' lists what each backend runs",
            )

    def _slot(self) -> tuple[Any, dict[str, Any]]:
        """A request with its tensors by name, inputs and outputs."""
        made = self._compiled.create_infer_request()
        tensors = {}
        for spec in (*self._request.inputs, *self._request.outputs):
            if None in spec.shape:
                continue  # an output whose size depends on data: OpenVINO allocates it
            kind = self._runtime.Type(np.dtype(spec.dtype))
            tensors[spec.name] = self._runtime.Tensor(kind, self._runtime.Shape(list(spec.shape)))
            made.set_tensor(spec.name, tensors[spec.name])
        return made, tensors

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Copies the arrays into the slot's tensors: the caller's may change or go."""
        _, tensors = self._slots[slot]
        for spec in self._request.inputs:
            tensors[spec.name].data[...] = arrays[spec.name]

    def enqueue(self, slot: int) -> None:
        """Runs the slot; on the CPU it is done on return."""
        self._calls[slot]()

    def synchronize(self) -> None:
        """Nothing to wait for: a CPU run is done on return."""

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """Copies of the slot's outputs."""
        made, tensors = self._slots[slot]
        return {
            spec.name: np.array((tensors.get(spec.name) or made.get_tensor(spec.name)).data, copy=True)
            for spec in self._request.outputs
        }

    def evidence(self) -> Evidence:
        """Options as the compiled model reports them; executed precisions from the graph that the plugin runs."""
        given = {name: self._compiled.get_property(name) for name in _READ_BACK}
        executed = executed_precisions(self.reported_layers(), self._matrices) if self._request.inspect else None
        return Evidence(
            backend=OpenVinoBackend.name,
            device=OpenVinoBackend.device,
            providers=tuple(self._compiled.get_property("EXECUTION_DEVICES")),
            threads=int(given["INFERENCE_NUM_THREADS"]),
            executed=executed,
            options={
                TF32_OPTION: TF32_ABSENT,
                **{name: _text(value) for name, value in given.items()},
                "api": "infer, tensors set once",
            },
            versions={"openvino": str(self._runtime.__version__)},
        )

    def executed_layers(self, *, warmup: int, iterations: int) -> tuple[ExecutedLayer, ...]:
        """The layers of inferences on slot 0 and their times; only in a session opened for inspection."""
        assert self._request.inspect, "a session that is not inspected keeps no times"
        made, _ = self._slots[0]
        times: dict[str, list[float]] = {}
        for number in range(warmup + iterations):
            self.enqueue(0)
            if number < warmup:
                continue
            for entry in made.get_profiling_info():
                if entry.real_time > timedelta():
                    times.setdefault(entry.node_name, []).append(entry.real_time.total_seconds())
        return self._layers(times)

    def reported_layers(self) -> tuple[ExecutedLayer, ...]:
        """The layers of the graph that the plugin executes; only in a session opened for inspection."""
        assert self._request.inspect, "only an inspected session knows which operations are matrix products"
        return self._layers(None)

    def _layers(self, times: Mapping[str, list[float]] | None) -> tuple[ExecutedLayer, ...]:
        nodes = nodes_from_runtime_model(self._compiled.get_runtime_model())
        return layers_from_runtime(nodes, times, matrices=self._matrices, hint=self._hint)

    def close(self) -> None:
        """Drops the requests, then the compiled model."""
        self._calls, self._slots = [], []
        self._compiled = None


def quiet_runtime() -> Any:
    """OpenVINO's module, imported without its telemetry.

    Importing it sends an event over the network, from a process forked in the middle of what is measured, unless the
    package ``openvino_telemetry`` cannot be imported: then OpenVINO uses a stub of its own.
    """
    modules: dict[str, Any] = sys.modules
    held: Mapping[str, Any] = {name: modules[name] for name in (_TELEMETRY,) if name in modules}
    modules[_TELEMETRY] = None
    try:
        import openvino
    finally:
        del modules[_TELEMETRY]
        modules.update(held)
    return openvino


@functools.cache
def cpu_capabilities() -> frozenset[str]:
    """What the CPU plugin computes in on this machine, in OpenVINO's words ("BF16", "INT8")."""
    return frozenset(quiet_runtime().Core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))


def reason_of(error: Exception) -> str:
    """OpenVINO's reason in one line, without the places in its source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith(_NOISE)]
    return " ".join(lines)[:_REASON_LENGTH] or type(error).__name__


def _text(value: Any) -> str:
    """A property's value: types and enumerations by their names."""
    if hasattr(value, "to_string"):
        return str(value.to_string())
    return str(getattr(value, "name", value))


BACKENDS.register(OpenVinoBackend.name, OpenVinoBackend())
