"""What a library's name means, and what is said where it cannot be had."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import pytest

from benchbox.errors import EnvironmentLackError, UsageError
from benchbox.models.building import network_from_source
from benchbox.models.libraries.made import imported, part_of_library, reason_of
from benchbox.models.libraries.tasks import TASKS
from benchbox.models.sources import resolve
from benchbox.schema.model import SourceKind


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("hf:google-bert/bert-base-uncased", "google-bert-bert-base-uncased"),
        ("timm:resnet18.a1_in1k", "timm-resnet18.a1_in1k"),
        ("torchvision:resnet18", "torchvision-resnet18"),
    ],
)
def test_names_differ_from_each_other_and_from_the_zoo(reference: str, name: str) -> None:
    source = resolve(reference, input_shape=None, weights=None)
    assert (source.kind, source.name) == (SourceKind.LIBRARY, name)


def test_a_folder_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets" / "tiny-bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "nets" / "tiny-bert")
    for place in (".", "../tiny-bert", str(tmp_path / "nets" / "tiny-bert")):
        assert resolve(f"hf:{place}", input_shape=None, weights=None).name == "tiny-bert"


def test_a_reason_that_is_cut_says_so() -> None:
    assert reason_of(ValueError("few\n words")) == "ValueError: few words"
    assert reason_of(ValueError("word " * 100)).endswith(" …")
    assert reason_of(ValueError()) == "ValueError"


def test_a_task_is_part_of_the_case() -> None:
    source = resolve("hf:org/net", input_shape=None, weights=None, task="fill-mask")
    assert source.variant == "task=fill-mask"
    with pytest.raises(UsageError, match="--task is for networks of Hugging Face"):
        resolve("lenet5", input_shape=None, weights=None, task="fill-mask")
    with pytest.raises(UsageError, match="names no network"):
        resolve("timm:", input_shape=None, weights=None)


@pytest.mark.parametrize(
    ("reference", "package", "extra"),
    [
        ("hf:org/net", "transformers", "hf"),
        ("timm:resnet18", "timm", "timm"),
        ("torchvision:resnet18", "torchvision", "torchvision"),
    ],
)
def test_a_missing_extra_is_named(reference: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EnvironmentLackError) as caught:
        network_from_source(resolve(reference, input_shape=None, weights=None), seed=0)
    assert caught.value.remedy == f"pip install 'benchbox[{extra}]'"


def test_a_library_that_does_not_fit_pytorch_is_no_bug_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unfit_library.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EnvironmentLackError, match="cannot be imported") as caught:
        imported("unfit_library", "timm")
    assert "torchvision::nms" in caught.value.values


def test_a_part_of_a_library_that_cannot_be_imported_is_no_bug_of_ours() -> None:
    """Transformers imports its classes when they are asked for, and torchvision with some of them."""

    class Lazy(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            if name == "Absent":
                raise AttributeError(name)
            try:
                raise RuntimeError("operator torchvision::nms does not exist")
            except RuntimeError as error:
                raise ModuleNotFoundError(f"Could not import module '{name}'") from error

    assert part_of_library(Lazy("lazy"), "Absent") is None
    with pytest.raises(EnvironmentLackError, match="lazy has Net, which cannot be imported") as caught:
        part_of_library(Lazy("lazy"), "Net")
    assert "torchvision::nms" in caught.value.values


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers: extra hf")
def test_tasks_are_classes_of_transformers() -> None:
    import transformers

    for names in TASKS.values():
        assert any(isinstance(getattr(transformers, name, None), type) for name in names), names
    assert isinstance(transformers, types.ModuleType)
