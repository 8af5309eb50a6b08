"""How does ONNX Runtime run a network on the CPU?

With I/O binding: inputs and outputs are bound once, so that a timed call neither copies nor allocates at the
border. Threads are always explicit: the default pool is sized to the host's cores, blind to affinity and quota.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchbox.backends.base import BACKENDS, Availability, Grade, OpenRequest
from benchbox.backends.clock import HostStopwatch
from benchbox.backends.eight_bit import MAY_SATURATE, SUMS_OPTION, instruction_sets, saturates
from benchbox.backends.onnxruntime.profile import layers_from_profile
from benchbox.backends.onnxruntime.refusing import not_loaded
from benchbox.backends.onnxruntime.types import value_of
from benchbox.errors import EnvironmentLackError
from benchbox.graph.zero_points import lacks_zero_points
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.proof import TF32_ABSENT, TF32_OPTION
from benchbox.schema.trial import Evidence
from benchbox.tensor_types import array_type, is_extended

if TYPE_CHECKING:
    from benchbox.backends.base import Arrays

PROVIDER = "CPUExecutionProvider"
# What counts as a matrix operation in evidence, by ONNX Runtime's names after fusion.
MATRIX_OPS = frozenset(
    {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul",
     "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat", "Attention",
     "MatMulNBits", "MultiHeadAttention", "Einsum", "LSTM", "GRU", "RNN"}
)  # fmt: skip
# Without VNNI, products of unsigned and signed bytes saturate in 16 bits: outputs are wrong without a word. Asked to be
# precise, the runtime takes weights as unsigned bytes there, and changes nothing where the CPU has VNNI.
PRECISE_INT8 = "session.x64quantprecision"
# Products with 4-bit weights that are made of DequantizeLinear round their other input to 8 bits by default, level 4:
# level 1 computes them in fp32, as the file says.
FOUR_BIT_LEVEL = "session.qdq_matmulnbits_accuracy_level"
# Threads of the pool spin for a while when they run out of work: the runtime's default, set so that it can be reported.
SPINNING = "session.intra_op.allow_spinning"
_REFUSALS = {
    Precision.TF32: "a CPU has no TF32: fp32 is what it computes",
    Precision.BF16: "ONNX Runtime's CPU provider has no bf16 convolutions",
    Precision.FP8: "ONNX Runtime's CPU provider has no fp8 kernels: it would round to fp8 and compute in fp32",
}

_GRADES = {
    Precision.FP16: (Grade.WIDENED, "it computes fp16 graphs in fp32 between casts"),
    Precision.INT8: (Grade.PARTLY, "it runs what it fuses in int8, the rest in fp32"),
    Precision.INT4: (Grade.PARTLY, "weights stay in int4 where it fuses them; products compute in fp32"),
}


class OnnxRuntimeBackend:
    """ONNX Runtime with the CPU execution provider."""

    name: ClassVar[str] = "onnxruntime"
    device: ClassVar[str] = "cpu"
    consumes: ClassVar[str] = "onnx"
    virtual: ClassVar[bool] = False
    rank: ClassVar[int] = 10

    def probe(self) -> Availability:
        """Whether exactly one ONNX Runtime is installed and imports."""
        wheel = only_wheel("cpu")
        if not wheel.usable:
            return wheel
        try:
            import onnxruntime
        except Exception as error:  # a broken wheel may raise anything; a probe never does
            return Availability(usable=False, reason=f"ONNX Runtime does not import: {error}", remedy="reinstall it")
        return Availability(usable=True, version=str(onnxruntime.__version__), device=self.device)

    def refusal(self, precision: Precision) -> str | None:
        """fp32, fp16 and int8 run; fp16 through casts, and int8 as far as it fuses, which the evidence shows.

        fp8 graphs can be opened to check their outputs, but give no speed.
        """
        return _REFUSALS.get(precision)

    def grade(self, precision: Precision, isa: frozenset[str]) -> tuple[Grade, str]:
        """fp32 is native; see ``refusal`` for the others."""
        return _GRADES.get(precision, (Grade.NATIVE, ""))

    def open(self, request: OpenRequest) -> OnnxRuntimeSession:
        """A session on the CPU provider; raises ArtifactError with the runtime's reason for a file it cannot load."""
        try:
            import onnxruntime
        except ImportError as error:
            raise EnvironmentLackError(
                "ONNX Runtime is not installed", values=str(error), remedy="pip install 'benchbox[cpu]'"
            ) from error
        assert request.onnx_path is not None, "a backend that consumes ONNX is given a file"
        return OnnxRuntimeSession(onnxruntime, request)


class OnnxRuntimeSession:
    """One ONNX file, loaded, with bound inputs and outputs per slot."""

    def __init__(self, runtime: Any, request: OpenRequest) -> None:
        self.stopwatch = HostStopwatch()
        self._runtime = runtime
        self._request = request
        self._profile = tempfile.TemporaryDirectory(prefix="benchbox-profile-") if request.inspect else None
        # Replaced weights get a zero point of one element; with a scale a channel and none of its own that fails later.
        self._precise = request.onnx_path is None or not lacks_zero_points(request.onnx_path)
        try:
            self._session = self._loaded()
        except Exception as error:  # ONNX Runtime's errors share no public base class
            self.close()
            raise not_loaded(request.onnx_path, error) from error
        self._open = self._open_outputs()
        self._arrays: dict[int, np.ndarray] = {}  # of outputs that are no arrays to the runtime
        self._bindings = [self._binding() for _ in range(request.slots)]
        self._run = self._session.run_with_iobinding
        if self._open:
            self._run = self._run_allocating
        self._inputs: dict[int, list[Any]] = {}
        self._told: tuple[ExecutedLayer, ...] | None = None

    def _loaded(self) -> Any:
        try:
            return self._loaded_with(self._options(precise=self._precise))
        except Exception:
            # Weights as unsigned bytes have no kernel beside signed activations (QLinearMatMul, QGemm), and one that
            # two layers share is replaced twice, which fails: then as they are, and the evidence says so.
            with contextlib.suppress(Exception):
                session = self._loaded_with(self._options(precise=False))
                self._precise = False
                return session
            raise

    def _loaded_with(self, options: Any) -> Any:
        return self._runtime.InferenceSession(
            str(self._request.onnx_path),
            options,
            providers=[PROVIDER],
            disabled_optimizers=list(_disabled_optimizers(self._request)),
        )

    def _options(self, *, precise: bool = True) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._request.threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        levels = self._runtime.GraphOptimizationLevel
        # Above BASIC, 1.24 to 1.32 take fp8 Q/DQ pairs around a convolution for int8 ones: wrong outputs, or none. And
        # 8-bit kernels saturate on x86 without VNNI (sums of two products are kept in 16 bits), which pairs do not.
        request = self._request
        plain = request.precision is Precision.FP8 or (request.exact and request.precision is Precision.INT8)
        level = levels.ORT_ENABLE_BASIC if plain else levels.ORT_ENABLE_ALL
        options.graph_optimization_level = levels.ORT_DISABLE_ALL if request.unoptimised else level
        options.log_severity_level = 4
        options.add_session_config_entry(PRECISE_INT8, "1" if precise else "0")
        options.add_session_config_entry(FOUR_BIT_LEVEL, "1")
        options.add_session_config_entry(SPINNING, "1")
        if self._profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(self._profile.name) / "ort")
        return options

    def _open_outputs(self) -> tuple[str, ...]:
        """Outputs that the runtime must allocate: of unknown sizes, of others than the file claims, inputs as they are.

        ONNX Runtime warns of a claim that is wrong and goes on, but refuses memory of the right size. What goes
        straight through it does not copy into memory that is given.
        """
        through = {given.name for given in self._session.get_inputs()}
        claimed = {output.name: output.shape for output in self._session.get_outputs()}
        return tuple(
            spec.name
            for spec in self._request.outputs
            if None in spec.shape or spec.name in through or _differs(spec, claimed.get(spec.name, ()))
        )

    def _binding(self) -> tuple[Any, dict[str, Any]]:
        binding = self._session.io_binding()
        outputs = {spec.name: self._empty(spec) for spec in self._request.outputs}
        for name, value in outputs.items():
            if value is None:
                binding.bind_output(name, "cpu")
            else:
                binding.bind_ortvalue_output(name, value)
        return binding, outputs

    def _empty(self, spec: TensorSpec) -> Any:
        """Memory for an output; None for one that the runtime allocates."""
        if spec.name in self._open:
            return None
        if is_extended(spec.dtype):  # what the runtime allocates of such a type it does not give back as an array
            array = np.zeros([size or 0 for size in spec.shape], array_type(spec.dtype))
            value = value_of(self._runtime, array, spec.dtype)
            self._arrays[id(value)] = array
            return value
        return self._runtime.OrtValue.ortvalue_from_shape_and_type(list(spec.shape), np.dtype(spec.dtype))

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Binds copies of the arrays: the caller's may change or go."""
        binding, _ = self._bindings[slot]
        values = []
        for spec in self._request.inputs:
            array = np.array(arrays[spec.name], order="C", copy=True)
            # ONNX Runtime keeps only the address of a numpy array: both must live as long as the binding.
            value = value_of(self._runtime, array, spec.dtype)
            binding.bind_ortvalue_input(spec.name, value)
            values += [array, value]
        self._inputs[slot] = values

    def enqueue(self, slot: int) -> None:
        """Runs the slot; on the CPU it is done on return."""
        self._run(self._bindings[slot][0])

    def _run_allocating(self, binding: Any) -> None:
        """One inference whose outputs may have other sizes than the last one's, and are allocated anew."""
        for name in self._open:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)

    def synchronize(self) -> None:
        """Nothing to wait for: a CPU run is done on return."""

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """Copies of the slot's outputs."""
        binding, outputs = self._bindings[slot]
        if self._open:
            outputs = dict(zip(outputs, binding.get_outputs(), strict=True))
        return {name: self._copied(value) for name, value in outputs.items()}

    def _copied(self, value: Any) -> np.ndarray:
        array = self._arrays.get(id(value))
        return np.array(value.numpy() if array is None else array, copy=True)

    def evidence(self) -> Evidence:
        """Providers and options as the session reports them; executed precisions from its profile."""
        options = self._session.get_session_options()
        return Evidence(
            backend=OnnxRuntimeBackend.name,
            device=OnnxRuntimeBackend.device,
            providers=tuple(self._session.get_providers()),
            threads=options.intra_op_num_threads,
            executed=None if self._profile is None else executed_precisions(self.reported_layers()),
            options={
                TF32_OPTION: TF32_ABSENT,
                "graph_optimization_level": options.graph_optimization_level.name,
                "execution_mode": options.execution_mode.name,
                "inter_op_num_threads": str(options.inter_op_num_threads),
                "allow_spinning": options.get_session_config_entry(SPINNING),
                PRECISE_INT8: options.get_session_config_entry(PRECISE_INT8),
                FOUR_BIT_LEVEL: options.get_session_config_entry(FOUR_BIT_LEVEL),
                **({SUMS_OPTION: MAY_SATURATE} if self._may_saturate() else {}),
                "api": "run_with_iobinding",
                **{f"disabled {name}": "1" for name in _disabled_optimizers(self._request)},
            },
            versions={"onnxruntime": str(self._runtime.__version__)},
        )

    def _may_saturate(self) -> bool:
        """Whether sums of bytes may, because the exact kernels could not be asked for."""
        return self._request.precision is Precision.INT8 and not self._precise and saturates(instruction_sets())

    def executed_layers(self, *, warmup: int, iterations: int) -> tuple[ExecutedLayer, ...]:
        """The layers of inferences on slot 0 and their times; only in a session opened for inspection, and once."""
        assert self._profile is not None, "a session that is not inspected keeps no profile"
        for _ in range(warmup + iterations):
            self.enqueue(0)
        events = json.loads(Path(self._session.end_profiling()).read_text())
        self._told = layers_from_profile(events, skip=0)
        return layers_from_profile(events, skip=warmup)

    def reported_layers(self) -> tuple[ExecutedLayer, ...]:
        """The layers of the inferences so far, from the profile, which ends here."""
        assert self._profile is not None, "a session that is not inspected keeps no profile"
        if self._told is None:
            self._told = layers_from_profile(json.loads(Path(self._session.end_profiling()).read_text()), skip=0)
        return self._told

    def close(self) -> None:
        """Drops the session and its profile."""
        self._bindings = []
        if self._profile is not None:
            self._profile.cleanup()


def only_wheel(extra: str) -> Availability:
    """Whether exactly one ONNX Runtime is installed; nothing is imported for it.

    Args:
        extra: of this package, that installs the wheel which the caller needs ("cpu" or "gpu").
    """
    wheels = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(wheels) == 2:
        return Availability(
            usable=False,
            reason="onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
            remedy="pip uninstall onnxruntime onnxruntime-gpu, then install the one you want",
        )
    if not wheels:
        remedy = f"pip install 'benchbox[{extra}]'"
        return Availability(usable=False, reason="ONNX Runtime is not installed", remedy=remedy)
    return Availability(usable=True, version=_version(wheels[0]))


def _disabled_optimizers(request: OpenRequest) -> tuple[str, ...]:
    """Optimisations that give wrong outputs.

    1.32 quantises fp16 biases in fp16 arithmetic: bias / (scale of the input * scale of the weights) overflows there.
    """
    eight_bit = request.precision in (Precision.INT8, Precision.FP8)
    return ("WeightBiasQuantization",) if eight_bit and request.fallback is Precision.FP16 else ()


def _differs(spec: TensorSpec, claimed: Sequence[int | str | None]) -> bool:
    """Whether a file claims other sizes for an output; it claims none where the list is empty or names them."""
    if len(claimed) not in (0, len(spec.shape)):
        return True
    return any(isinstance(size, int) and size != known for size, known in zip(claimed, spec.shape, strict=False))


def executed_precisions(layers: Sequence[ExecutedLayer]) -> dict[str, int]:
    """Matrix operations by the type of their first input."""
    return dict(Counter(layer.executed for layer in layers if layer.kind in MATRIX_OPS and layer.inputs))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


BACKENDS.register(OnnxRuntimeBackend.name, OnnxRuntimeBackend())
