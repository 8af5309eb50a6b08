"""What would TensorRT 10 do if the simulated device were the GPU?

An "engine" is the ONNX file with a header; its outputs are computed by ONNX Runtime on the CPU when the stream runs.
The rules of the real runtime are kept: shapes within the profile and set before addresses, every address set and
aligned, working memory given where it is user-managed, everything alive while work runs, engines of this version and
of this GPU only, plugins registered, inputs that say shapes on the host, allocators for outputs whose size depends on
data. A broken rule is an ERROR in the log and a False or None, as TensorRT does it.
"""

from __future__ import annotations

from tensorrt.building import (
    Builder,
    IBuilderConfig,
    ILayer,
    INetworkDefinition,
    IOptimizationProfile,
    ITensor,
    ITimingCache,
    OnnxParser,
    ParserError,
)
from tensorrt.inspecting import EngineInspector
from tensorrt.kinds import VERSION as __version__
from tensorrt.kinds import (
    BuilderFlag,
    DataType,
    EngineStat,
    ExecutionContextAllocationStrategy,
    IGpuAsyncAllocator,
    ILogger,
    IOutputAllocator,
    IProfiler,
    LayerInformationFormat,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    ProfilingVerbosity,
    TacticSource,
    TensorIOMode,
    TensorLocation,
)
from tensorrt.plugins import IPluginRegistry, get_plugin_registry, init_libnvinfer_plugins
from tensorrt.running import ICudaEngine, IExecutionContext, IRuntimeConfig, Runtime

__all__ = [
    "Builder",
    "BuilderFlag",
    "DataType",
    "EngineInspector",
    "EngineStat",
    "ExecutionContextAllocationStrategy",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IGpuAsyncAllocator",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IOutputAllocator",
    "IPluginRegistry",
    "IProfiler",
    "IRuntimeConfig",
    "ITensor",
    "ITimingCache",
    "LayerInformationFormat",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "ProfilingVerbosity",
    "Runtime",
    "TacticSource",
    "TensorIOMode",
    "TensorLocation",
    "__version__",
    "get_plugin_registry",
    "init_libnvinfer_plugins",
]
