"""How does the simulated TensorRT run engines, and which rules does it keep?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from simulated_device import ALIGNMENT, DEVICE, Fault, Work

from tensorrt.building import ITensor
from tensorrt.kinds import (
    DATA_TYPES,
    TYPES,
    VERSION,
    DataType,
    EngineStat,
    ExecutionContextAllocationStrategy,
    ILogger,
    ProfilingVerbosity,
    TensorIOMode,
    TensorLocation,
    error,
    header_of,
)
from tensorrt.plugins import REGISTERED, is_plugin


class IRuntimeConfig:
    def __init__(self) -> None:
        self.strategy = ExecutionContextAllocationStrategy.STATIC

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy


class Runtime:
    """Loads engines."""

    gpu_allocator: Any = None
    version = VERSION
    engine_class: type[ICudaEngine]

    def __init__(self, logger: ILogger) -> None:
        DEVICE.require_context()
        self.logger = logger

    def deserialize_cuda_engine(self, content: bytes) -> ICudaEngine | None:
        found = header_of(content)
        if found is None:
            error(self.logger, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (magic number mismatch)")
            return None
        header, network = found
        if header["version"] != self.version:
            error(
                self.logger,
                "Error Code 6: API Usage Error (The engine plan file is not compatible with this version of TensorRT, "
                f"expecting library version {self.version} got {header['version']})",
            )
            return None
        if DEVICE.knobs["target"] not in header["targets"]:
            error(self.logger, f"Error Code 6: the engine was built for another device ({header['targets']})")
            return None
        model = onnx.load_from_string(network)
        for node in model.graph.node:
            if is_plugin(node.op_type) and node.op_type not in REGISTERED:
                error(self.logger, f"Error Code 1: Serialization (Cannot find plugin: {node.op_type}, version: 1)")
                return None
        engine = self.engine_class(self, header["profile"], model)
        engine.luck = header.get("luck", 0.0)
        if engine.weights_address == 0:
            error(self.logger, "Error Code 2: OutOfMemory (Requested size was not available for weights)")
            return None
        return engine


class ICudaEngine:
    """A loaded engine; its weights are device memory until it goes."""

    num_aux_streams = 0
    luck = 0.0
    context_class: type[IExecutionContext]

    def __init__(self, runtime: Runtime, profile: Mapping[str, Any], model: onnx.ModelProto) -> None:
        self.logger = runtime.logger
        self.profile = {name: tuple(map(tuple, shapes)) for name, shapes in profile.items()}
        self.model = onnx.shape_inference.infer_shapes(model)
        self.inputs = [info.name for info in model.graph.input]
        self.outputs = [info.name for info in model.graph.output]
        self.types = {info.name: info.type.tensor_type.elem_type for info in (*model.graph.input, *model.graph.output)}
        self.compute = onnxruntime.InferenceSession(_without_plugins(model), providers=["CPUExecutionProvider"])
        self.weight_bytes = max(1, sum(len(tensor.raw_data) for tensor in model.graph.initializer))
        self._allocator = runtime.gpu_allocator
        self._shape_inputs = _shape_inputs(model)
        self._scratch = 0
        if self._allocator is not None:
            self.weights_address = int(self._allocator.allocate_async(self.weight_bytes, ALIGNMENT, 0, 0))
        else:
            try:
                self.weights_address = DEVICE.allocate_from_pool(self.weight_bytes)
            except Fault:
                self.weights_address = 0

    def __del__(self) -> None:
        for address in (getattr(self, "weights_address", 0), getattr(self, "_scratch", 0)):
            if address and self._allocator is not None:
                self._allocator.deallocate_async(address, 0)
            elif address:
                DEVICE.free(address)

    def need_scratch(self, stream: int) -> None:
        """What a first inference allocates, by the caller's allocator too, which may refuse to grow."""
        if self._allocator is None or self._scratch:
            return
        small = int(self._allocator.allocate_async(ALIGNMENT, ALIGNMENT, 0, stream))
        grown = int(self._allocator.reallocate(small, ALIGNMENT, 2 * ALIGNMENT))
        if not grown:
            grown = int(self._allocator.allocate_async(2 * ALIGNMENT, ALIGNMENT, 0, stream))
            self._allocator.deallocate_async(small, stream)
        self._scratch = grown

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.HOST if name in self._shape_inputs else TensorLocation.DEVICE

    @property
    def num_io_tensors(self) -> int:
        return len(self.inputs) + len(self.outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[DATA_TYPES[self.types[name]]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        declared = (*self.model.graph.input, *self.model.graph.output)
        return ITensor(next(info for info in declared if info.name == name)).shape

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
        return self.context_class(self, runtime_config)

    def create_engine_inspector(self) -> Any:
        from tensorrt.inspecting import EngineInspector

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

    def __init__(self, engine: ICudaEngine, config: IRuntimeConfig) -> None:
        self._engine = engine
        self._user_managed = config.strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._memory: tuple[int, int] | None = None
        self._output_allocators: dict[str, Any] = {}

    def get_max_output_size(self, name: str) -> int:
        """Every element may be one that is selected: its place along each axis, in eight bytes."""
        if not self._ready() or name not in self._engine.outputs:
            return -1
        shape = self._shapes[self._engine.inputs[0]]
        return 8 * len(shape) * math.prod(shape) // DEVICE.knobs["understated_outputs"]

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        if name not in self._engine.outputs:
            return self._fail(f"{name} is no output")
        self._output_allocators[name] = output_allocator
        return True

    def _place_dependent(self, stream_handle: int) -> bool:
        """Waits for the device, asks for memory, and says how large the outputs became."""
        engine = self._engine
        DEVICE.run(DEVICE.stream_of(stream_handle))
        feeds = {name: self._read(name, self._addresses[name], self._shapes[name]) for name in engine.inputs}
        for name, made in zip(engine.outputs, engine.compute.run(engine.outputs, feeds), strict=True):
            if name not in _data_dependent(engine.model):
                continue
            allocator, known = self._output_allocators[name], self._addresses.get(name, 0)
            given = allocator.reallocate_output_async(name, known, max(1, made.nbytes), ALIGNMENT, stream_handle)
            if not given:
                return self._fail(f"Error Code 2: OutOfMemory (no memory for output {name})")
            self._addresses[name] = given
            allocator.notify_shape(name, made.shape)
        return True

    def _fail(self, message: str) -> bool:
        error(self._engine.logger, f"IExecutionContext: Error Code 3: API Usage Error ({message})")
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
        if name in _data_dependent(self._engine.model):
            return self._engine.get_tensor_shape(name)
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
        dependent = _data_dependent(engine.model)
        names = (name for name in (*engine.inputs, *engine.outputs) if name not in dependent)
        missing = [name for name in names if name not in self._addresses]
        if missing:
            return self._fail(f"no address for {', '.join(missing)}")
        if self._user_managed and (self._memory is None or self._memory[1] < DEVICE.knobs["context_bytes"]):
            return self._fail("no device memory was set")
        if DEVICE.last_error:  # of a call of somebody else's: what the runtime's own launches would be told
            return self._fail(f"Error Code 1: Cuda Runtime ({DEVICE.last_error})")
        for name in dependent:
            if name not in self._output_allocators:
                return self._fail(f"no output allocator for {name}, whose size depends on data")
        for name in engine.inputs:
            if engine.get_tensor_location(name) is TensorLocation.HOST:
                raise DEVICE.fail("cudaErrorIllegalAddress", f"{name} is read by the host at a device address")
        try:
            engine.need_scratch(stream_handle)
            if dependent and not self._place_dependent(stream_handle):
                return False
            work = self._work(dict(self._addresses))
            self._launch(stream_handle, Work(lambda: (1 + engine.luck) * DEVICE.next_inference_ns(), work, kernel=True))
            if DEVICE.knobs["syncs"]:
                DEVICE.run(DEVICE.stream_of(stream_handle))
        except Fault as fault:
            return self._fail(str(fault))
        return True

    def _launch(self, stream_handle: int, work: Work) -> None:
        DEVICE.put(stream_handle, work)

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
        dtype = np.dtype(TYPES[self._engine.types[name]][1])
        return DEVICE.view(address, math.prod(shape) * dtype.itemsize).copy().view(dtype).reshape(shape)


Runtime.engine_class = ICudaEngine
ICudaEngine.context_class = IExecutionContext


def _without_plugins(model: onnx.ModelProto) -> bytes:
    """The network as ONNX Runtime computes it: what a plugin gets passes through."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for node in plain.graph.node:
        if is_plugin(node.op_type):
            node.op_type, node.domain = "Identity", ""
            del node.attribute[:]
    return plain.SerializeToString()


def _shape_inputs(model: onnx.ModelProto) -> frozenset[str]:
    """Inputs that say what shape something has: the runtime reads them on the host."""
    shaping = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0}
    read = {
        node.input[shaping[node.op_type]]
        for node in model.graph.node
        if node.op_type in shaping and len(node.input) > shaping[node.op_type]
    }
    return frozenset(info.name for info in model.graph.input if info.name in read)


def _data_dependent(model: onnx.ModelProto) -> frozenset[str]:
    """Outputs whose size is known only when they were computed."""
    made = {name for node in model.graph.node if node.op_type == "NonZero" for name in node.output}
    return frozenset(info.name for info in model.graph.output if info.name in made)
