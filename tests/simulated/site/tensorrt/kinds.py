"""Enums and bases of the simulated TensorRT, with the values that both builders and runtimes of it use."""

from __future__ import annotations

import json
from enum import Enum, IntEnum, auto
from typing import Any

VERSION = "10.16.0+simulated"
MAGIC = b"SIMULATED-ENGINE"
TYPES = {
    1: ("FP32", "float32"),
    3: ("Int8", "int8"),
    6: ("Int32", "int32"),
    7: ("Int64", "int64"),
    9: ("Bool", "bool"),
    10: ("FP16", "float16"),
}


DATA_TYPES = {1: "FLOAT", 3: "INT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF", 22: "INT4"}


class DataType(Enum):
    FLOAT = auto()
    HALF = auto()
    INT8 = auto()
    INT32 = auto()
    INT64 = auto()
    BOOL = auto()
    INT4 = auto()


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


def error(logger: ILogger, message: str) -> None:
    logger.log(ILogger.Severity.ERROR, message)


class NetworkDefinitionCreationFlag(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class BuilderFlag(Enum):
    TF32 = auto()
    SPARSE_WEIGHTS = auto()


class MemoryPoolType(Enum):
    WORKSPACE = auto()


class TacticSource(IntEnum):
    CUBLAS = 0
    CUDNN = 2
    JIT_CONVOLUTIONS = 4


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


class IOutputAllocator:
    """Base of the caller's allocator of outputs whose size depends on data."""

    def __init__(self) -> None:
        self.initialised = True


class IProfiler:
    """Base of the caller's profiler."""

    def __init__(self) -> None:
        self.initialised = True


class TensorLocation(Enum):
    DEVICE = auto()
    HOST = auto()


def header_of(content: bytes) -> tuple[dict[str, Any], bytes] | None:
    """What stands before the network in an engine, and the network; None where it is no engine."""
    if not content.startswith(MAGIC):
        return None
    start = len(MAGIC) + 4
    end = start + int.from_bytes(content[len(MAGIC) : start], "little")
    return json.loads(content[start:end]), content[end:]
