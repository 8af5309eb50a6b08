"""The check itself: which samples, which batches, who evaluates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchbox.backends.base import BACKENDS, Availability
from benchbox.errors import ArtifactError
from benchbox.export.check_set import CheckSet, check_batches
from benchbox.export.judging import evaluator_outputs
from benchbox.export.verification import outputs_from_onnx, require_finite, require_passed
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs


def test_batches_to_check() -> None:
    assert check_batches(BatchRange(), None) == (1, 3)
    assert check_batches(BatchRange(minimum=4, optimum=8, maximum=32), None) == (4, 6)
    assert check_batches(BatchRange(minimum=4, optimum=4, maximum=4), None) == (4, 4)
    assert check_batches(BatchRange(), 2) == (2, 2)


def test_samples_are_distinct_and_batches_differ(lenet: OnnxArtifact) -> None:
    check = CheckSet(inputs=lenet.inputs, outputs=lenet.outputs, batches=(1, 3), seed=0)
    feeds = [feed["input"] for feed in check.feeds()]
    assert [len(feed) for feed in feeds] == [1, 3]
    samples = np.concatenate(feeds).reshape(4, -1)
    assert len(np.unique(samples, axis=0)) == 4


def test_both_evaluators_agree(lenet: OnnxArtifact, export_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = CheckSet(inputs=lenet.inputs, outputs=lenet.outputs, batches=(1, 3), seed=0)
    path = export_root / lenet.path
    fast = outputs_from_onnx(path, check, precision=Precision.FP32)
    assert fast.evaluator.startswith("onnxruntime")
    assert fast.form == "onnx-fp32"
    slow = evaluator_outputs(path, check)
    assert hop_from_outputs("a", "b", slow, fast.outputs, TOLERANCES[Precision.FP32]).passed
    backend = BACKENDS.get("onnxruntime")
    monkeypatch.setattr(backend, "probe", lambda: Availability(usable=False, reason="not installed"))
    again = outputs_from_onnx(path, check, precision=Precision.FP32)
    assert again.evaluator.startswith("onnx.reference")
    assert np.array_equal(again.outputs["output"], slow["output"])


def test_a_failed_hop_is_an_error_with_its_numbers() -> None:
    hop = hop_from_outputs("a", "b", {"output": np.ones(3)}, {"output": np.full(3, 1.5)}, TOLERANCES[Precision.FP32])
    with pytest.raises(ArtifactError, match=r"relative L2 error 0\.5"):
        require_passed((hop,), model="net")


def test_overflow_is_told_with_what_to_do() -> None:
    right = {"output": np.ones(3)}
    words = {"model": "net", "asked": "'my net.onnx' --input sequence=8"}
    require_finite(right, right, **words, precision=Precision.FP16)
    wrong = {"output": np.array([1, np.inf, np.nan])}
    require_finite(wrong, wrong, **words, precision=Precision.FP16)  # so is the network
    with pytest.raises(ArtifactError) as caught:
        require_finite(wrong, right, **words, precision=Precision.FP16)
    assert caught.value.what == "net overflows in fp16"
    assert "1 infinite and 1 undefined of 3 values" in (caught.value.values or "")
    assert "benchbox bisect 'my net.onnx' --input sequence=8 --precision fp16" in (caught.value.remedy or "")
