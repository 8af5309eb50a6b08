"""A model reference means one thing, or says why it means nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from benchbox.errors import EnvironmentLackError, UsageError
from benchbox.models.building import module_from_source
from benchbox.models.sources import name_of_file, parse_shape, resolve
from benchbox.schema.model import SourceKind


def test_zoo_names() -> None:
    source = resolve("resnet50", input_shape=None, weights=None)
    assert (source.kind, source.name, source.input_shape) == (SourceKind.ZOO, "resnet50", (3, 224, 224))
    other = resolve("resnet50", input_shape=(3, 160, 160), weights=None)
    assert (other.name, other.input_shape) == ("resnet50-3x160x160", (3, 160, 160))


def test_onnx_files(tmp_path: Path) -> None:
    path = tmp_path / "my net (1).onnx"
    path.write_bytes(b"anything")
    source = resolve(str(path), input_shape=None, weights=None)
    assert (source.kind, source.name) == (SourceKind.ONNX, "my-net-1")


def test_the_ending_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "NET.ONNX"
    path.write_bytes(b"anything")
    assert resolve(str(path), input_shape=None, weights=None).kind is SourceKind.ONNX


def test_a_path_that_is_no_network_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"weights")
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "net.pt", "name does not end in .onnx")):
        with pytest.raises(UsageError, match=words):
            resolve(str(path), input_shape=None, weights=None)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("bert/model.onnx", "bert-model"),
        ("gpt/onnx/model_quantized.onnx", "gpt-model_quantized"),
        ("whisper/onnx/decoder_with_past_model_fp16.onnx", "whisper-decoder_with_past_model_fp16"),
        ("any/resnet50-v2.onnx", "resnet50-v2"),
        ("any/модель.onnx", "модель"),
        ("any/猫 (2).onnx", "猫-2"),
        ("any/-.onnx", f"model-{hashlib.sha256(b'-').hexdigest()[:8]}"),
    ],
)
def test_names_of_files_are_readable_and_differ(path: str, name: str, tmp_path: Path) -> None:
    assert name_of_file(tmp_path / path) == name


def test_a_long_name_still_makes_a_file(tmp_path: Path) -> None:
    names = [name_of_file(Path(f"{'猫' * 84}{end}.onnx")) for end in "ab"]
    assert len(set(names)) == 2
    for name in names:
        (tmp_path / f"{name}-fp32-0123456789ab.expected.npz").touch()


def test_factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mynets_for_test.py").write_text("import torch\ndef net(): return torch.nn.Linear(4, 2)\n")
    source = resolve("mynets_for_test:net", input_shape=(4,), weights=None)
    assert (source.kind, source.name) == (SourceKind.FACTORY, "mynets_for_test.net")
    first, second = (module_from_source(source, seed=3) for _ in range(2))
    assert torch.equal(first.weight, second.weight), "a factory's own weights are drawn under the seed"
    assert not first.training


@pytest.mark.parametrize(
    ("reference", "shape", "weights", "word"),
    [
        ("resnet5", None, None, "did you mean 'resnet50'"),
        ("absent.onnx", None, None, "absent.onnx"),
        ("package:module:factory", (3,), None, "is not package.module:factory"),
        ("1bad:factory", (3,), None, "is not package.module:factory"),
        ("resnet50", None, "absent.pt", "absent.pt"),
    ],
)
def test_wrong_references(reference: str, shape: tuple[int, ...] | None, weights: str | None, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        resolve(reference, input_shape=shape, weights=weights)


def test_weights_are_not_for_onnx_files(tmp_path: Path) -> None:
    for name in ("net.onnx", "w.pt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match="--weights"):
        resolve(str(tmp_path / "net.onnx"), input_shape=None, weights=str(tmp_path / "w.pt"))


def test_shapes() -> None:
    assert parse_shape("3x224x224") == (3, 224, 224)
    assert parse_shape("16") == (16,)
    assert parse_shape("4x0x8") == (4, 0, 8), "a key-value cache may be empty"
    for wrong in ("", "3x", "x3", "3x-1", "axb", "3,224,224", "3x1.5"):
        with pytest.raises(UsageError, match="--input"):
            parse_shape(wrong)


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(EnvironmentLackError, match=r"benchbox\[torch\]"):
        module_from_source(resolve("lenet5", input_shape=None, weights=None), seed=0)


def test_networks_separated_by_commas_are_a_hint() -> None:
    with pytest.raises(UsageError, match="separated by blanks") as caught:
        resolve("lenet5,resnet18", input_shape=None, weights=None)
    assert caught.value.remedy == "write lenet5 resnet18"
