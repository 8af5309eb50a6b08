"""Names find objects; wrong names find help; duplicates are bugs."""

from __future__ import annotations

import pickle

import pytest

from benchbox.errors import MeasurementError, UsageError
from benchbox.registry import Registry, suggestion


def test_unknown_names_are_answered_with_the_nearest() -> None:
    assert suggestion("resnet5", ["resnet50", "vgg16"]) == "did you mean 'resnet50'?"
    assert suggestion("zzz", ["resnet50"]) == ""
    assert suggestion("latancy", ["p50", "samples/s"]) == "did you mean 'p50'?", "a slip in another tool's word"
    assert suggestion("onnx", ["onnxruntime", "openvino"]) == "did you mean 'onnxruntime'?", "its beginning"
    assert suggestion("WIDE", ["side", "WIDE_INTERVAL"]) == "did you mean 'WIDE_INTERVAL'?"
    assert suggestion("xlsx", ["csv", "html"]) == "did you mean 'csv'?"
    assert suggestion("markdwn", ["md", "csv"]) == "did you mean 'md'?"


def test_a_registry_scans_its_package_on_first_use() -> None:
    from benchbox.backends.base import BACKENDS

    assert {"null", "onnxruntime", "pytorch"} <= set(BACKENDS.names())
    with pytest.raises(UsageError, match="did you mean 'onnxruntime'"):
        BACKENDS.get("onnxruntim")


def test_duplicates_raise() -> None:
    registry: Registry[int] = Registry("thing", "benchbox.schema")
    registry.register("one", 1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("one", 2)
    assert "one" in registry
    assert list(registry) == [1]


def test_errors_have_three_parts_and_survive_a_pipe() -> None:
    error = MeasurementError("the worker crashed", values="SIGSEGV", remedy="try again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is MeasurementError
    assert str(copy) == "the worker crashed\nSIGSEGV\ntry again"
    assert copy.exit_status == 5
