"""How does the simulated TensorRT build? An engine is the ONNX file with a header before it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from enum import Enum
from typing import Any

import onnx
from simulated_device import DEVICE

from tensorrt.kinds import (
    MAGIC,
    VERSION,
    BuilderFlag,
    ILogger,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    ProfilingVerbosity,
    error,
)
from tensorrt.plugins import REGISTERED, is_plugin


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
        if is_plugin(self._node.op_type):
            return "Plugin not found, are the plugin name, version, and namespace correct?"
        return "the simulation has no such operator"


class OnnxParser:
    """Reads an ONNX file."""

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    def parse_from_file(self, path: str) -> bool:
        model = onnx.load(path)
        self._errors = [
            ParserError(node)
            for node in model.graph.node
            if node.op_type == "Det" or (is_plugin(node.op_type) and node.op_type not in REGISTERED)
        ]
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

    builder_optimization_level = 3
    max_aux_streams = -1

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        self._limits[pool] = min(size, DEVICE.knobs["memory_bytes"])  # as the builder does it

    def get_memory_pool_limit(self, pool: MemoryPoolType) -> int:
        return int(self._limits[pool])

    def set_tactic_sources(self, sources: int) -> bool:
        self._sources = sources
        return True

    def get_tactic_sources(self) -> int:
        return self._sources

    def __init__(self) -> None:
        self._limits: dict[MemoryPoolType, int] = {}
        self._sources = 0
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

    def luck(self) -> dict[str, float]:
        """How much longer an inference takes by the kernels that were picked: drawn where no times were given."""
        given = self._cache is not None and self._cache.serialize() != _EMPTY
        most = DEVICE.knobs["build_luck"]
        return {"luck": 0.0 if given else random.SystemRandom().uniform(0.1, 1.0) * most} if most else {}

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
                error(self._logger, f"Network has dynamic input {tensor.name}, but no optimization profile.")
                return None
            shapes[tensor.name] = config.profiles[0].shapes[tensor.name] if -1 in tensor.shape else (tensor.shape,) * 3
        self._logger.log(ILogger.Severity.INFO, f"Total Activation Memory: {DEVICE.knobs['context_bytes']} bytes")
        header = json.dumps({"profile": shapes, **self._built_for(config), **config.luck()}).encode()
        return MAGIC + len(header).to_bytes(4, "little") + header + model.SerializeToString()

    def _built_for(self, config: IBuilderConfig) -> dict[str, Any]:
        """The GPU and the version that alone can load the engine."""
        return {"targets": [DEVICE.knobs["target"]], "version": VERSION}
