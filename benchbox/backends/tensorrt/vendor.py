"""Which of NVIDIA's two builders is installed, and what can it do?

TensorRT and TensorRT-RTX have the same Python interface under two module names. This is the only place that imports
them. Where they differ, what is asked is whether a feature is there, never which version it is.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

from benchbox.errors import EnvironmentLackError

# What this backend calls and what not every version has: TensorRT 10.13 has all of it.
REQUIRED = (
    "Builder.build_serialized_network",
    "Builder.create_network",
    "IBuilderConfig.profiling_verbosity",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    "BuilderFlag.TF32",
    "OnnxParser.parse_from_file",
    "ParserError.node_operator",
    "ILayer.metadata",
    "ProfilingVerbosity.DETAILED",
    "Runtime.deserialize_cuda_engine",
    "Runtime.gpu_allocator",
    "IGpuAsyncAllocator",
    "ICudaEngine.create_runtime_config",
    "ICudaEngine.device_memory_size_v2",
    "ICudaEngine.get_tensor_location",
    "ICudaEngine.get_tensor_profile_shape",
    "ICudaEngine.num_aux_streams",
    "IRuntimeConfig.set_execution_context_allocation_strategy",
    "ExecutionContextAllocationStrategy.USER_MANAGED",
    "IExecutionContext.execute_async_v3",
    "IExecutionContext.nvtx_verbosity",
    "IExecutionContext.set_device_memory",
    "IExecutionContext.update_device_memory_size_for_shapes",
)
# Members of ComputeCapability that are no GPU architecture.
_NO_TARGET = frozenset({"NONE", "CURRENT"})


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """One of the two products: the backend's name, its Python module, its title and the extra that installs it."""

    name: str
    module: str
    title: str

    @property
    def remedy(self) -> str:
        """What to install."""
        return f"pip install 'benchbox[{self.name}]'"


TENSORRT = Vendor(name="tensorrt", module="tensorrt", title="TensorRT")
TENSORRT_RTX = Vendor(name="tensorrt-rtx", module="tensorrt_rtx", title="TensorRT-RTX")


class Bindings:
    """The imported module of a vendor and the features that it has."""

    def __init__(self, vendor: Vendor, module: Any) -> None:
        self.vendor = vendor
        self.api = module

    @property
    def version(self) -> str:
        """The vendor's version, for example "1.7.1.116"."""
        return str(self.api.__version__)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Compute capabilities that can be named as targets, for example "sm86"; empty where none can."""
        capabilities = getattr(self.api, "ComputeCapability", None)
        if capabilities is None or not hasattr(self.api.IBuilderConfig, "set_compute_capability"):
            return ()
        return tuple(name.lower() for name in capabilities.__members__ if name not in _NO_TARGET)

    @property
    def tunes_on_gpu(self) -> bool:
        """Whether building measures kernels on this machine's GPU: true exactly where no target can be named."""
        return not self.targets

    def supports(self, target: str) -> bool:
        """Whether engines can run on a GPU of that compute capability; newer than every named one counts as yes."""
        numbers = [int(known.removeprefix("sm")) for known in self.targets]
        return not numbers or target in self.targets or int(target.removeprefix("sm")) > max(numbers)

    @property
    def judges_engines(self) -> bool:
        """Whether an engine's header can be judged before it is loaded."""
        return hasattr(self.api.Runtime, "get_engine_validity")

    def missing(self) -> tuple[str, ...]:
        """Names of ``REQUIRED`` that this version lacks."""
        return tuple(name for name in REQUIRED if not _has(self.api, name))


def loaded(vendor: Vendor) -> Bindings:
    """The vendor's module, imported.

    Raises:
        EnvironmentLackError: not installed, does not import, or lacks what this backend needs.
    """
    if importlib.util.find_spec(vendor.module) is None:
        raise EnvironmentLackError(f"{vendor.title} is not installed", remedy=vendor.remedy)
    try:
        module = importlib.import_module(vendor.module)
    except Exception as error:  # a missing shared library may raise anything
        raise EnvironmentLackError(
            f"{vendor.title} does not import", values=f"{type(error).__name__}: {error}", remedy=vendor.remedy
        ) from error
    bindings = Bindings(vendor, module)
    missing = bindings.missing()
    if missing:
        raise EnvironmentLackError(
            f"{vendor.title} {bindings.version} is of a version that benchbox cannot use",
            values=f"it lacks {', '.join(missing)}",
            remedy=vendor.remedy,
        )
    return bindings


def _has(module: Any, dotted: str) -> bool:
    *path, last = dotted.split(".")
    try:
        return hasattr(reduce(getattr, path, module), last)
    except AttributeError:
        return False
