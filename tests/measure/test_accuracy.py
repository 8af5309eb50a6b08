"""Top-1 and top-5 against PyTorch on the same pictures; what is wrong with a folder is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from simulation import environment

from benchbox.models.building import module_from_source
from benchbox.models.pictures.images import recipe_from_source
from benchbox.models.pictures.labels import labelled_from_folder
from benchbox.models.sources import resolve
from benchbox.store.accuracies import accuracies_under

LENET = resolve("lenet5", input_shape=None, weights=None)
pytestmark = pytest.mark.usefixtures("lenet_exported")
CLASSES = 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Random pictures, three in each of ten classes."""
    image = pytest.importorskip("PIL.Image")
    draw = np.random.default_rng(0)
    for label in range(CLASSES):
        (tmp_path / "digits" / f"class{label}").mkdir(parents=True)
        for number in range(3):
            picture = draw.integers(0, 256, (28, 28), dtype=np.uint8)
            image.fromarray(picture).save(tmp_path / "digits" / f"class{label}" / f"{number}.png")
    return tmp_path / "digits"


def shares_of_pytorch(folder: Path) -> tuple[float, float]:
    pictures = labelled_from_folder(folder)
    recipe = recipe_from_source(LENET, (1, 28, 28))
    inputs = torch.from_numpy(np.stack([recipe.array_from_file(picture.path) for picture in pictures]))
    with torch.inference_mode():
        best = module_from_source(LENET, seed=0)(inputs).topk(5).indices.numpy()
    labels = np.array([picture.label for picture in pictures])
    return float((best[:, 0] == labels).mean()), float((best == labels[:, None]).any(axis=1).mean())


@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("pytorch", marks=pytest.mark.nightly)])
def test_shares_are_pytorchs(backend: str, folder: Path, benchbox: Callable) -> None:
    ran = benchbox("accuracy", "lenet5", "--data", str(folder), "--backend", backend, "--threads", "1", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["schema"] == "benchbox.accuracy/1"
    (result,) = ran.document["results"]
    top1, top5 = shares_of_pytorch(folder)
    assert (result["samples"], result["classes"]) == (30, 10)
    assert result["top1"]["value"] == pytest.approx(top1)
    assert result["top5"]["value"] == pytest.approx(top5)
    assert top1 < result["top1"]["high"] < 1
    assert result["backend"] == result["evidence"]["backend"] == backend
    (stored,) = accuracies_under(folder.parent, warn=pytest.fail)
    assert stored.onnx_sha256 == result["onnx_sha256"]
    assert sum(stored.right_pictures) == round(30 * top1)
    assert len(stored.right_pictures) == 30


def test_a_network_that_knows_its_classes_is_right_in_int8(folder: Path, benchbox: Callable, tmp_path: Path) -> None:
    """The pictures are sorted by what the network says of them: top-1 must then be 100 % in fp32, near it in int8."""
    pictures = labelled_from_folder(folder)
    recipe = recipe_from_source(LENET, (1, 28, 28))
    module = module_from_source(LENET, seed=0)
    sorted_folder = tmp_path / "sorted"
    for label in range(CLASSES):
        (sorted_folder / str(label)).mkdir(parents=True)
    for number, picture in enumerate(pictures):
        with torch.inference_mode():
            said = int(module(torch.from_numpy(recipe.array_from_file(picture.path)[None])).argmax())
        picture.path.rename(sorted_folder / str(said) / f"{number}.png")
    ran = benchbox(
        "accuracy", "lenet5", "--data", str(sorted_folder), "--precision", "fp32,int8", "--calibration",
        str(sorted_folder), "--threads", "1", "--batch", "4", "--json",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    fp32, int8 = ran.document["results"]
    assert fp32["top1"]["value"] == 1.0
    assert fp32["top1"]["low"] == pytest.approx(0.8865, abs=1e-3)
    assert int8["top1"]["value"] >= 0.8
    assert int8["variant"] == "calibration=sorted"


def test_a_mapping_says_the_classes(folder: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "classes.json"
    mapping.write_text(json.dumps({f"class{label}": CLASSES - 1 - label for label in range(CLASSES)}))
    turned = {picture.path: picture.label for picture in labelled_from_folder(folder, mapping=mapping)}
    assert all(turned[picture.path] == 9 - picture.label for picture in labelled_from_folder(folder))


@pytest.mark.parametrize(
    ("damage", "status", "message"),
    [
        ("gone", 2, "there is no folder"),
        ("flat", 2, "has no subfolders"),
        ("empty", 2, "there are no pictures"),
        ("too many", 2, "no score for class 10"),
        ("unreadable", 4, "not a readable picture"),
        ("mapping lacks", 2, "does not say the class"),
        ("mapping is none", 4, "is invalid"),
        ("mapping is not JSON", 4, "cannot be read"),
    ],
)
def test_bad_folders(damage: str, status: int, message: str, folder: Path, benchbox: Callable, tmp_path: Path) -> None:
    arguments = ["accuracy", "lenet5", "--data", str(folder), "--threads", "1"]
    mapping = tmp_path / "labels.json"
    if damage == "gone":
        arguments[3] = str(tmp_path / "gone")
    elif damage == "flat":
        arguments[3] = str(folder / "class0")
    elif damage == "empty":
        for picture in folder.rglob("*.png"):
            picture.unlink()
    elif damage == "too many":
        (folder / "class99").mkdir()
        next(folder.rglob("*.png")).rename(folder / "class99" / "a.png")
    elif damage == "unreadable":
        (folder / "class3" / "1.png").write_bytes(b"no picture")
    else:
        texts = {"mapping lacks": '{"class0": 0}', "mapping is none": '{"class0": "a"}', "mapping is not JSON": "{"}
        mapping.write_text(texts[damage])
        arguments += ["--labels", str(mapping)]
    ran = benchbox(*arguments)
    assert ran.status == status, ran.err
    assert message in ran.err


def test_a_precision_that_the_backend_lacks_is_refused(folder: Path, benchbox: Callable) -> None:
    ran = benchbox("accuracy", "lenet5", "--data", str(folder), "--backend", "onnxruntime", "--precision", "fp8")
    assert ran.status == 2
    assert "no fp8 kernels" in ran.err


def test_an_engine_is_built_for_a_backend_that_runs_one(folder: Path, tmp_path: Path) -> None:
    """On the simulated device, which answers as PyTorch does."""
    ran = subprocess.run(
        [
            sys.executable, "-m", "benchbox", "accuracy", "lenet5", "--data", str(folder), "--backend", "tensorrt",
            "--batch", "7", "--threads", "1", "--json", "--root", str(tmp_path),
        ],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], env=environment(),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    (result,) = json.loads(ran.stdout)["results"]
    top1, top5 = shares_of_pytorch(folder)
    assert (result["top1"]["value"], result["top5"]["value"]) == (pytest.approx(top1), pytest.approx(top5))
    assert result["evidence"]["backend"] == "tensorrt"
    assert list(tmp_path.rglob("*.engine")), "built for this"
    assert "30 of 30 pictures" in ran.stderr


def test_a_backend_that_computes_nothing_has_no_accuracy(folder: Path, benchbox: Callable) -> None:
    ran = benchbox("accuracy", "lenet5", "--data", str(folder), "--backend", "null")
    assert ran.status == 2
    assert "null computes nothing" in ran.err
    assert "top-1" not in ran.out


def test_a_runtime_that_crashes_does_not_take_the_command_along(
    folder: Path, benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text(
        "import os, sys, torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(784, 10)\n"
        "    def forward(self, x):\n"
        "        spec = getattr(sys.modules['__main__'], '__spec__', None)\n"
        "        if spec is not None and spec.name == 'benchbox.measure.process.worker':\n"
        "            os.abort()\n"
        "        return self.layer(torch.flatten(x, 1))\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = ("--input", "1x28x28", "--backend", "pytorch", "--threads", "1")
    ran = benchbox("accuracy", "crashing:Net", "--data", str(folder), *arguments)
    assert ran.status == 5, ran.err
    assert "SIGABRT" in ran.err
