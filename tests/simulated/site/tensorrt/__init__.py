"""What would TensorRT 10 do if the simulated device were the GPU?

An "engine" is the ONNX file with a header; its outputs are computed by ONNX Runtime on the CPU when the stream runs.
The rules of the real runtime are kept: shapes within the profile and set before addresses, every address set and
aligned, working memory given where it is user-managed, everything alive while work runs. A broken rule is an ERROR in
the log and a False or None, as TensorRT does it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, IntEnum, auto
from typing import Any

import numpy as np
import onnx
import onnxruntime
from simulated_device import ALIGNMENT, DEVICE, Fault, Work

__version__ = "10.16.0+simulated"
_MAGIC = b"SIMULATED-ENGINE"
_TYPES = {
    1: ("FP32", "float32"),
    3: ("Int8", "int8"),
    6: ("Int32", "int32"),
    7: ("Int64", "int64"),
    9: ("Bool", "bool"),
    10: ("FP16", "float16"),
}


class ILogger:
    """Base of the caller's logger."""

    class Severity(IntEnum):
        """As TensorRT's."""

        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


def _error(logger: ILogger, message: str) -> None:
    logger.log(ILogger.Severity.ERROR, message)


class NetworkDefinitionCreationFlag(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class BuilderFlag(Enum):
    TF32 = auto()


class ProfilingVerbosity(Enum):
    LAYER_NAMES_ONLY = auto()
    NONE = auto()
    DETAILED = auto()


class ExecutionContextAllocationStrategy(Enum):
    STATIC = auto()
    ON_PROFILE_CHANGE = auto()
    USER_MANAGED = auto()


class LayerInformationFormat(Enum):
    ONELINE = auto()
    JSON = auto()


class EngineStat(Enum):
    TOTAL_WEIGHTS_SIZE = auto()
    STRIPPED_WEIGHTS_SIZE = auto()


class TensorIOMode(Enum):
    NONE = auto()
    INPUT = auto()
    OUTPUT = auto()


class IGpuAsyncAllocator:
    """Base of the caller's allocator."""

    def __init__(self) -> None:
        self.initialised = True


class IProfiler:
    """Base of the caller's profiler."""

    def __init__(self) -> None:
        self.initialised = True


class ILayer:
    metadata = ""


class ITensor:
    def __init__(self, info: onnx.ValueInfoProto) -> None:
        self.name = info.name
        dims = info.type.tensor_type.shape.dim
        self.shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)


class INetworkDefinition:
    """What the parser read."""

    def __init__(self) -> None:
        self.model: onnx.ModelProto | None = None

    @property
    def _graph(self) -> onnx.GraphProto:
        assert self.model is not None, "nothing was parsed"
        return self.model.graph

    @property
    def num_layers(self) -> int:
        return len(self._graph.node)

    @property
    def num_inputs(self) -> int:
        return len(self._graph.input)

    @property
    def num_outputs(self) -> int:
        return len(self._graph.output) if self.model else 0

    def get_input(self, index: int) -> ITensor:
        return ITensor(self._graph.input[index])


class ParserError:
    def __init__(self, node: onnx.NodeProto) -> None:
        self._node = node

    def node_name(self) -> str:
        return str(self._node.name)

    def node_operator(self) -> str:
        return str(self._node.op_type)

    def code(self) -> Any:
        return Enum("ErrorCode", {"UNSUPPORTED_NODE": 8}).UNSUPPORTED_NODE  # type: ignore[attr-defined]

    def desc(self) -> str:
        return "the simulation has no such operator"


class OnnxParser:
    """Reads an ONNX file."""

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    def parse_from_file(self, path: str) -> bool:
        model = onnx.load(path)
        self._errors = [ParserError(node) for node in model.graph.node if node.op_type == "Det"]
        if self._errors:
            return False
        self._network.model = model
        return True

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, tensor: str, least: Sequence[int], best: Sequence[int], most: Sequence[int]) -> None:
        self.shapes[tensor] = (tuple(least), tuple(best), tuple(most))


_EMPTY = b""


def _tactics() -> bytes:
    return f"tactics of {DEVICE.knobs['target']}".encode()


class ITimingCache:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> bytes:
        return self._content


class IBuilderConfig:
    profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY

    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.profiles: list[IOptimizationProfile] = []
        self._cache: ITimingCache | None = None

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def get_flag(self, flag: BuilderFlag) -> bool:
        return flag in self.flags

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> ITimingCache | None:
        return None if content.startswith(b"damaged") else ITimingCache(content)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache is None:
            raise TypeError("incompatible function arguments")  # as pybind does
        if cache.serialize() not in {_EMPTY, _tactics()}:
            return False  # of another GPU
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache:
        assert self._cache is not None
        return ITimingCache(_tactics())


class Builder:
    """Makes engines."""

    def __init__(self, logger: ILogger) -> None:
        DEVICE.require_context()
        self._logger = logger

    def create_network(self, flags: int) -> INetworkDefinition:
        if not flags & 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED:
            raise AssertionError("networks are strongly typed here")
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
        model = network.model
        assert model is not None
        inputs = [ITensor(info) for info in model.graph.input]
        shapes = {}
        for tensor in inputs:
            if -1 in tensor.shape and not config.profiles:
                _error(self._logger, f"Network has dynamic input {tensor.name}, but no optimization profile.")
                return None
            shapes[tensor.name] = config.profiles[0].shapes[tensor.name] if -1 in tensor.shape else (tensor.shape,) * 3
        self._logger.log(ILogger.Severity.INFO, f"Total Activation Memory: {DEVICE.knobs['context_bytes']} bytes")
        header = json.dumps({"target": DEVICE.knobs["target"], "profile": shapes, "version": __version__}).encode()
        return _MAGIC + len(header).to_bytes(4, "little") + header + model.SerializeToString()


class IRuntimeConfig:
    def __init__(self) -> None:
        self.strategy = ExecutionContextAllocationStrategy.STATIC

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy


class Runtime:
    """Loads engines."""

    gpu_allocator: Any = None

    def __init__(self, logger: ILogger) -> None:
        DEVICE.require_context()
        self.logger = logger

    def deserialize_cuda_engine(self, content: bytes) -> ICudaEngine | None:
        if not content.startswith(_MAGIC):
            _error(self.logger, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (magic number mismatch)")
            return None
        start = len(_MAGIC) + 4
        end = start + int.from_bytes(content[len(_MAGIC) : start], "little")
        header = json.loads(content[start:end])
        if header["target"] != DEVICE.knobs["target"]:
            _error(self.logger, f"Error Code 6: the engine was built for another device ({header['target']})")
            return None
        engine = ICudaEngine(self, header["profile"], onnx.load_from_string(content[end:]), content[end:])
        if engine.weights_address == 0:
            _error(self.logger, "Error Code 2: OutOfMemory (Requested size was not available for weights)")
            return None
        return engine


class ICudaEngine:
    """A loaded engine; its weights are device memory until it goes."""

    num_aux_streams = 0

    def __init__(self, runtime: Runtime, profile: Mapping[str, Any], model: onnx.ModelProto, content: bytes) -> None:
        self.logger = runtime.logger
        self.profile = {name: tuple(map(tuple, shapes)) for name, shapes in profile.items()}
        self.model = onnx.shape_inference.infer_shapes(model)
        self.inputs = [info.name for info in model.graph.input]
        self.outputs = [info.name for info in model.graph.output]
        self.types = {info.name: info.type.tensor_type.elem_type for info in (*model.graph.input, *model.graph.output)}
        self.compute = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.weight_bytes = max(1, sum(len(tensor.raw_data) for tensor in model.graph.initializer))
        self._allocator = runtime.gpu_allocator
        if self._allocator is not None:
            self.weights_address = int(self._allocator.allocate_async(self.weight_bytes, ALIGNMENT, 0, 0))
        else:
            try:
                self.weights_address = DEVICE.allocate_from_pool(self.weight_bytes)
            except Fault:
                self.weights_address = 0

    def __del__(self) -> None:
        if getattr(self, "weights_address", 0):
            if self._allocator is not None:
                self._allocator.deallocate_async(self.weights_address, 0)
            else:
                DEVICE.free(self.weights_address)

    @property
    def num_io_tensors(self) -> int:
        return len(self.inputs) + len(self.outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return list(self.profile[name])

    @property
    def device_memory_size_v2(self) -> int:
        return int(DEVICE.knobs["context_bytes"])

    def get_engine_stat(self, stat: EngineStat) -> int:
        return self.weight_bytes if stat is EngineStat.TOTAL_WEIGHTS_SIZE else 0

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, runtime_config: IRuntimeConfig) -> IExecutionContext:
        return IExecutionContext(self, runtime_config.strategy)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)


class IExecutionContext:
    """Runs an engine."""

    profiler: Any = None
    enqueue_emits_profile = True
    nvtx_verbosity = ProfilingVerbosity.DETAILED  # as the engine was built

    def report_to_profiler(self) -> bool:
        """Every layer gets an equal part of the inference."""
        nodes = self._engine.model.graph.node
        for node in nodes:
            self.profiler.report_layer_time(node.name, DEVICE.knobs["inference_ns"] / len(nodes) / 1e6)
        return True

    def __init__(self, engine: ICudaEngine, strategy: ExecutionContextAllocationStrategy) -> None:
        self._engine = engine
        self._user_managed = strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._memory: tuple[int, int] | None = None

    def _fail(self, message: str) -> bool:
        _error(self._engine.logger, f"IExecutionContext: Error Code 3: API Usage Error ({message})")
        return False

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        low, _, high = self._engine.profile[name]
        if not all(least <= size <= most for least, size, most in zip(low, shape, high, strict=True)):
            return self._fail(f"shape {tuple(shape)} of {name} is outside the profile")
        self._shapes[name] = tuple(shape)
        return True

    def _ready(self) -> bool:
        return set(self._shapes) == set(self._engine.inputs)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._engine.inputs:
            return self._shapes.get(name, (-1,))
        batch = self._shapes[self._engine.inputs[0]][0] if self._ready() else -1
        declared = next(info for info in self._engine.model.graph.output if info.name == name)
        return tuple(size if size > 0 else batch for size in ITensor(declared).shape)

    def update_device_memory_size_for_shapes(self) -> int:
        if not self._ready():
            self._fail("not all input shapes are set")
            return 0
        if DEVICE.knobs["fail_sizing"]:
            self._fail("the simulation was told to refuse")
            return 0
        return int(DEVICE.knobs["context_bytes"])

    def set_device_memory(self, memory: int, size: int) -> None:
        if memory % ALIGNMENT:
            self._fail(f"{memory:#x} is not aligned to {ALIGNMENT}")
            return
        self._memory = (memory, size)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if not self._ready():
            return self._fail(f"the address of {name} was set before all input shapes")
        if memory == 0 or memory % ALIGNMENT:
            return self._fail(f"the address {memory:#x} of {name} is not aligned to {ALIGNMENT}")
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self._engine
        missing = [name for name in (*engine.inputs, *engine.outputs) if name not in self._addresses]
        if missing:
            return self._fail(f"no address for {', '.join(missing)}")
        if self._user_managed and (self._memory is None or self._memory[1] < DEVICE.knobs["context_bytes"]):
            return self._fail("no device memory was set")
        if DEVICE.last_error:  # of a call of somebody else's: what the runtime's own launches would be told
            return self._fail(f"Error Code 1: Cuda Runtime ({DEVICE.last_error})")
        try:
            DEVICE.put(stream_handle, Work(DEVICE.next_inference_ns, self._work(dict(self._addresses)), kernel=True))
            if DEVICE.knobs["syncs"]:
                DEVICE.run(DEVICE.stream_of(stream_handle))
        except Fault as fault:
            return self._fail(str(fault))
        return True

    def _work(self, addresses: Mapping[str, int]) -> Callable[[], None]:
        shapes = {name: self.get_tensor_shape(name) for name in addresses}
        memory = self._memory

        def run() -> None:
            engine = self._engine
            if memory is not None:
                DEVICE.view(*memory)[:] = 0xEE
            feeds = {name: self._read(name, addresses[name], shapes[name]) for name in engine.inputs}
            for name, made in zip(engine.outputs, engine.compute.run(engine.outputs, feeds), strict=True):
                target = DEVICE.view(addresses[name], made.nbytes)
                target[:] = np.ascontiguousarray(made).reshape(-1).view(np.uint8)

        return run

    def _read(self, name: str, address: int, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(_TYPES[self._engine.types[name]][1])
        return DEVICE.view(address, math.prod(shape) * dtype.itemsize).copy().view(dtype).reshape(shape)


class EngineInspector:
    """Tells a layer for every node, in TensorRT 10's words."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self.execution_context: IExecutionContext | None = None

    def get_engine_information(self, layout: LayerInformationFormat) -> str:
        graph = self._engine.model.graph
        values = (*graph.value_info, *graph.input, *graph.output)
        types = {info.name: info.type.tensor_type.elem_type for info in values}

        def tensors(names: Sequence[str]) -> list[dict[str, Any]]:
            known = (name for name in names if name in types)
            return [{"Name": name, "Format/Datatype": f"Row-Major Linear {_TYPES[types[name]][0]}"} for name in known]

        layers = [
            {
                "Name": node.name,
                "LayerType": "CaskConvolution" if node.op_type == "Conv" else node.op_type,
                "Inputs": tensors(node.input),
                "Outputs": tensors(node.output),
                "TacticName": f"simulated_{node.op_type.lower()}",
                "StreamId": 0,
                "Metadata": f"[ONNX Layer: {node.name}]",
            }
            for node in graph.node
        ]
        return json.dumps({"Layers": layers, "Bindings": [*self._engine.inputs, *self._engine.outputs]})
