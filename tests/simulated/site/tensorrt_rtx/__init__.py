"""What would TensorRT for RTX do if the simulated device were the GPU? What differs from TensorRT.

Engines are for named compute capabilities, tuned on no GPU; kernels are compiled when a context is made, unless a
runtime cache has them. Of a dynamic shape a kernel of its own comes only after some inferences, a slower one until
then, unless it is asked for at once. The runtime captures CUDA graphs itself, and again whenever an address or a shape
has changed.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import Any

import tensorrt
from simulated_device import DEVICE, Work
from tensorrt import *  # noqa: F403 - everything else is the same
from tensorrt.kinds import error, header_of

__version__ = "1.7.1+simulated"
LAZY_INFERENCES, SLOWER = 20, 2.0
CAPTURE_LAUNCHES = 40  # what a capture takes the host, in launches


class ComputeCapability(Enum):
    NONE = auto()
    CURRENT = auto()
    SM75 = auto()
    SM80 = auto()
    SM86 = auto()
    SM89 = auto()
    SM120 = auto()


class CudaGraphStrategy(Enum):
    DISABLED = auto()
    WHOLE_GRAPH_CAPTURE = auto()


class DynamicShapesKernelSpecializationStrategy(Enum):
    LAZY = auto()
    EAGER = auto()
    NONE = auto()


class EngineValidity(Enum):
    VALID = auto()
    SUBOPTIMAL = auto()
    INVALID = auto()


class EngineInvalidityDiagnostics(IntEnum):
    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2
    MALFORMED_ENGINE = 32


class IBuilderConfig(tensorrt.IBuilderConfig):
    num_compute_capabilities = 0

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def set_compute_capability(self, capability: ComputeCapability, index: int) -> bool:
        self.targets.append(capability.name.lower())
        return True


class Builder(tensorrt.Builder):
    def __init__(self, logger: Any) -> None:
        self._logger = logger  # it needs no GPU

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def _built_for(self, config: Any) -> dict[str, Any]:
        every = [name.lower() for name in ComputeCapability.__members__ if name.startswith("SM")]
        return {"targets": config.targets or every, "version": __version__}


class IRuntimeCache:
    """Kernels that were compiled."""

    def __init__(self) -> None:
        self.kernels: set[str] = set()

    def serialize(self) -> bytes:
        return ",".join(sorted(self.kernels)).encode()

    def deserialize(self, content: bytes) -> bool:
        self.kernels = set(filter(None, bytes(content).decode().split(",")))
        return True


class IRuntimeConfig(tensorrt.IRuntimeConfig):
    def __init__(self) -> None:
        super().__init__()
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY
        self._cache: IRuntimeCache | None = None

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self._cache = cache
        return True

    def get_runtime_cache(self) -> IRuntimeCache | None:
        return self._cache


class IExecutionContext(tensorrt.IExecutionContext):
    def __init__(self, engine: ICudaEngine, config: Any) -> None:
        super().__init__(engine, config)
        self._config = config
        self._captured: Any = None
        self._inferences = 0
        name = f"{len(engine.model.graph.node)} nodes {DEVICE.knobs['target']}"
        cache = config.get_runtime_cache()
        if cache is None or name not in cache.kernels:
            DEVICE.compilations += 1
            if cache is not None:
                cache.kernels.add(name)

    def is_stream_capturable(self, stream: int) -> bool:
        return not DEVICE.knobs["fail_capture"]

    def _launch(self, stream_handle: int, work: Work) -> None:
        self._inferences += 1
        lazy = DynamicShapesKernelSpecializationStrategy.LAZY
        strategy = self._config.dynamic_shapes_kernel_specialization_strategy
        if strategy is lazy and self._inferences <= LAZY_INFERENCES:
            usual = work.duration_ns
            work.duration_ns = lambda: SLOWER * (usual() if callable(usual) else usual)
        bound = (dict(self._addresses), dict(self._shapes))
        if self._config.cuda_graph_strategy is CudaGraphStrategy.WHOLE_GRAPH_CAPTURE and self._captured != bound:
            DEVICE.captures += 1
            DEVICE.host_ns += CAPTURE_LAUNCHES * DEVICE.knobs["launch_ns"]
            self._captured = bound
        super()._launch(stream_handle, work)


class ICudaEngine(tensorrt.ICudaEngine):
    context_class = IExecutionContext

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()


class Runtime(tensorrt.Runtime):
    version = __version__
    engine_class = ICudaEngine

    def get_engine_validity(self, content: bytes) -> tuple[EngineValidity, int]:
        found = header_of(bytes(content))
        if found is None:
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.MALFORMED_ENGINE)
        if found[0]["version"] != __version__:
            error(self.logger, f"the engine has been created with {found[0]['version']}")
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.VERSION_MISMATCH)
        if DEVICE.knobs["target"] not in found[0]["targets"]:
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.UNSUPPORTED_CC)
        return EngineValidity.VALID, 0
