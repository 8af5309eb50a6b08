"""Does every TensorRT version have every name, enum member and argument that the backend uses?

What is used is read from the backend's own source: a name that is newly used there and missing in a version fails here.
Seen are the vendor's module, and its objects under the names listed here and straight behind the calls that make them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from vendor_bindings import VERSIONS, NotObtainable, offered

from benchbox.backends.tensorrt import vendor

SOURCES = sorted(Path(vendor.__file__).parent.glob("*.py"))
# Variables and attributes of self that hold the vendor's objects, and their classes.
CLASS_OF = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "inspector": "EngineInspector",
    "context": "IExecutionContext",
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "_context": "IExecutionContext",
}
# What the same name means in one file only.
CLASS_IN = {
    ("border.py", "config"): "IRuntimeConfig",
    ("border.py", "engine"): "ICudaEngine",
    ("border.py", "runtime"): "Runtime",
    ("builder.py", "config"): "IBuilderConfig",
    ("builder.py", "error"): "ParserError",
    ("builder.py", "tensor"): "ITensor",
    ("builder.py", "cache"): "ITimingCache",
    ("loading.py", "config"): "IRuntimeConfig",
    ("options.py", "config"): "IBuilderConfig",
    ("kernels.py", "config"): "IRuntimeConfig",
    ("kernels.py", "_cache"): "IRuntimeCache",
}
# What methods and functions give that are called on straight away.
MADE_BY = {"IBuilderConfig.get_timing_cache": "ITimingCache", "get_plugin_registry": "IPluginRegistry"}
# Not every version has them, each with the name that the source asks for with hasattr or getattr first.
OPTIONAL = {
    "ComputeCapability": "ComputeCapability",
    "CudaGraphStrategy": "cuda_graph_strategy",
    "DynamicShapesKernelSpecializationStrategy": "dynamic_shapes_kernel_specialization_strategy",
    "EngineInvalidityDiagnostics": "get_engine_validity",
    "EngineStat": "get_engine_stat",
    "EngineValidity": "get_engine_validity",
    "IBuilderConfig.num_compute_capabilities": "set_compute_capability",
    "IBuilderConfig.set_compute_capability": "set_compute_capability",
    "ICudaEngine.get_engine_stat": "get_engine_stat",
    "IExecutionContext.is_stream_capturable": "is_stream_capturable",
    "IRuntimeCache": "create_runtime_cache",
    "IRuntimeConfig.create_runtime_cache": "create_runtime_cache",
    "IRuntimeConfig.cuda_graph_strategy": "cuda_graph_strategy",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy": "dynamic_shapes_kernel_specialization_strategy",
    "IRuntimeConfig.set_runtime_cache": "create_runtime_cache",
    "Runtime.get_engine_validity": "get_engine_validity",
    "init_libnvinfer_plugins": "init_libnvinfer_plugins",
}
# Objects of ours, and enum members, that share attribute names with the vendor's classes.
OURS = {
    *("Precision", "TENSORRT", "TENSORRT_RTX", "_backend", "layer", "path", "recipe", "request", "self", "spec"),
    *("bindings.vendor", "error.code()", "found", "self._bindings.vendor", "self._graphs", "self._launch"),
    *("self._dependent", "self._layer", "self._live", "self._loaded", "outputs", "self.lines", "severity", "made"),
    *("buffers", "dtype", "engine.get_tensor_dtype(name)", "kept", "vendor"),
}
# Classes of the vendor that ours derive from; it calls our methods.
BASES = ("ILogger", "IProfiler", "IGpuAsyncAllocator", "IOutputAllocator")


@dataclass(frozen=True)
class Use:
    """One name of the vendor in the source; ``given`` are the arguments of a call, None where nothing is called.

    Positional arguments are "", the others their names.
    """

    dotted: str
    given: tuple[str, ...] | None
    where: str


def _is_api(node: ast.expr) -> bool:
    """``api``, ``bindings.api`` or ``self.api``."""
    return (isinstance(node, ast.Name) and node.id == "api") or (isinstance(node, ast.Attribute) and node.attr == "api")


def _owner(node: ast.expr, source: Path) -> str | None:
    """The vendor's class of an object in the source, None where it is none of the vendor's."""
    name = node.id if isinstance(node, ast.Name) else None
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        name = node.attr
    if name is None and isinstance(node, ast.Call):
        return _made_by(node, source)
    return CLASS_IN.get((source.name, name)) or CLASS_OF.get(name) if name else None


def _made_by(call: ast.Call, source: Path) -> str | None:
    """The vendor's class of what a call gives: a constructor's own, or that of a method listed in ``MADE_BY``."""
    made = call.func
    if not isinstance(made, ast.Attribute):
        return None
    if _is_api(made.value):
        return MADE_BY.get(made.attr, made.attr)
    owner = _owner(made.value, source)
    return MADE_BY.get(f"{owner}.{made.attr}") if owner else None


def _uses(source: Path) -> Iterator[Use]:
    tree = ast.parse(source.read_text())
    calls = {
        id(node.func): ("",) * len(node.args) + tuple(keyword.arg or "" for keyword in node.keywords)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        where = f"{source.name}:{node.lineno}"
        inner = node.value
        if _is_api(inner):
            yield Use(node.attr, calls.get(id(node)), where)
        elif isinstance(inner, ast.Attribute) and _is_api(inner.value):
            yield Use(f"{inner.attr}.{node.attr}", calls.get(id(node)), where)
        elif owner := _owner(inner, source):
            yield Use(f"{owner}.{node.attr}", calls.get(id(node)), where)


USES = [use for source in SOURCES for use in _uses(source)]


def _offered(version: str) -> dict[str, Any]:
    try:
        return offered(version)
    except NotObtainable as error:
        pytest.skip(f"the bindings of {version} cannot be had for this Python: {error}")


def _lacks(classes: dict[str, Any], use: Use, functions: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a version lacks of a use, "" if nothing."""
    name, _, inner = use.dotted.partition(".")
    if name.startswith("__"):
        return ""
    if name in functions:
        taken = use.given is None or _takes(functions[name], name, use.given)
        return "" if taken else f"{use.where}: {name} does not take {use.given}: {functions[name][:200]}"
    if name not in classes:
        return f"{use.where}: {name}"
    if inner in {"__members__", "__init__"}:
        return ""
    found = classes[name]
    if not inner:
        inner = "__init__"  # a class that is called; an enum is only named
        if use.given is None or found["members"] is not None:
            return ""
    if inner not in found["attributes"] and inner not in (found["members"] or ()):
        return f"{use.where}: {use.dotted}"
    if use.given is not None and not _takes(found["attributes"].get(inner, ""), inner, use.given):
        return f"{use.where}: {use.dotted} does not take {use.given}: {found['attributes'][inner][:200]}"
    return ""


def _takes(documentation: str, name: str, given: tuple[str, ...]) -> bool:
    """Whether some signature in a pybind docstring takes these arguments; True where there is no signature."""
    lines = [line for line in documentation.splitlines() if f"{name}(" in line and ") ->" in line]
    if not lines:
        return True
    for line in lines:
        inside = line[line.index("(") + 1 : line.rindex(") ->")]
        parameters = [parameter for parameter in _split(inside) if parameter.partition(":")[0] != "self"]
        needed = sum("=" not in parameter for parameter in parameters)
        named = {parameter.split(":")[0] for parameter in parameters}
        if needed <= len(given) <= len(parameters) and {name for name in given if name} <= named:
            return True
    return False


def _split(text: str) -> list[str]:
    """Parameters of a signature: commas inside brackets separate nothing."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def test_the_source_uses_what_this_test_thinks() -> None:
    """The reader of the source sees the calls that matter: an empty list would pass everything."""
    found = {use.dotted for use in USES}
    assert len(found) > 60
    for expected in (
        "Builder.build_serialized_network",
        "IExecutionContext.execute_async_v3",
        "IRuntimeConfig.set_execution_context_allocation_strategy",
        "ExecutionContextAllocationStrategy.USER_MANAGED",
        "Runtime.deserialize_cuda_engine",
        "EngineInspector.get_engine_information",
        "IExecutionContext.profiler",
        "OnnxParser.parse_from_file",
        "ITimingCache.serialize",
        "Runtime.get_engine_validity",
    ):
        assert expected in found
    for held in {*CLASS_OF.values(), *CLASS_IN.values()}:
        assert any(dotted.startswith(f"{held}.") for dotted in found), f"nothing of {held} is used any more"


def _optional(use: Use) -> str | None:
    """The entry of OPTIONAL that a use is, or is inside of."""
    return next((name for name in OPTIONAL if use.dotted == name or use.dotted.startswith(f"{name}.")), None)


def test_no_object_of_the_vendor_goes_unseen() -> None:
    """A variable that holds one must be listed in CLASS_OF, CLASS_IN or MADE_BY, or nobody checks its uses."""
    names = {
        name
        for version in VERSIONS
        for found in _offered(version)["classes"].values()
        for name in found["attributes"]
        if not name.startswith("__")
    }
    unseen = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if not isinstance(node, ast.Attribute) or node.attr not in names or _is_api(node.value):
                continue
            inner = node.value
            known = (isinstance(inner, ast.Attribute) and _is_api(inner.value)) or _owner(inner, source)
            if not known and ast.unparse(inner) not in OURS:
                unseen.append(f"{source.name}:{node.lineno}: {ast.unparse(node)}")
    assert unseen == []


def test_what_is_optional_is_asked_for_first() -> None:
    asked = {
        node.args[1].value
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"hasattr", "getattr"}
        and isinstance(node.args[1], ast.Constant)
    }
    assert set(OPTIONAL.values()) <= asked


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_exists(version: str) -> None:
    offers = _offered(version)
    wanted = [use for use in USES if _optional(use) is None]
    missing = [lack for lack in (_lacks(offers["classes"], use, offers["functions"]) for use in wanted) if lack]
    assert missing == []


def test_what_is_optional_exists_where_it_is_used() -> None:
    """TensorRT-RTX 1.7 has all of it."""
    offers = _offered("tensorrt-rtx 1.7")
    optional = [use for use in USES if _optional(use) is not None]
    assert len(optional) >= 5
    found = (_lacks(offers["classes"], use, offers["functions"]) for use in optional)
    assert [lack for lack in found if lack] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_declared_requirements_are_met(version: str) -> None:
    classes = _offered(version)["classes"]
    missing = [name for name in vendor.REQUIRED if _lacks(classes, Use(name, None, "REQUIRED"))]
    assert missing == []


@pytest.mark.parametrize("version", VERSIONS)
def test_bases_can_be_derived_from(version: str) -> None:
    classes = _offered(version)["classes"]
    for base in BASES:
        assert "__init__" in classes[base]["attributes"], "a subclass calls it"


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_differ_by_feature(version: str) -> None:
    """What decides the two ways of building and of capturing, in each version."""
    classes = _offered(version)["classes"]
    if version.startswith("tensorrt 1"):
        assert "ComputeCapability" not in classes
        assert "CudaGraphStrategy" not in classes
    else:
        assert "SM89" in classes["ComputeCapability"]["members"]
        assert "get_engine_validity" in classes["Runtime"]["attributes"]
        assert "WHOLE_GRAPH_CAPTURE" in classes["CudaGraphStrategy"]["members"]


def test_a_name_that_no_version_has_is_found() -> None:
    """The check can fail: a misspelt method, a missing enum member, a surplus argument."""
    classes = _offered("tensorrt 11.4")["classes"]
    assert _lacks(classes, Use("Builder.create_netwrok", None, "x:1"))
    assert _lacks(classes, Use("BuilderFlag.FP16", None, "x:1")), "weak typing is gone in TensorRT 11"
    assert _lacks(classes, Use("IExecutionContext.execute_async_v3", ("", ""), "x:1"))
    assert _lacks(classes, Use("IExecutionContext.execute_async_v3", ("no_such_argument",), "x:1"))
    assert _lacks(classes, Use("Builder", (), "x:1")), "it takes a logger"
    assert not _lacks(classes, Use("Builder", ("logger",), "x:1"))
    assert _lacks(classes, Use("NoSuchClass", None, "x:1"))
    assert not _lacks(classes, Use("IExecutionContext.execute_async_v3", ("",), "x:1"))
