"""The words that a message prints for a network ask for the same network when they are typed back."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from benchbox.cli.flags.network import NetworkFlags, network_command
from benchbox.models.asked import asked_in_words
from benchbox.models.sources import resolve
from benchbox.schema.model import InputChoice, ModelSource


def typed(words: str) -> ModelSource:
    """What a command takes for its network."""
    found = []

    def probe(network: NetworkFlags, as_json: bool) -> None:
        """Say which."""
        found.append((network.source(), as_json))

    network_command("probe", derived=False)(probe).main(args=shlex.split(words), standalone_mode=False)
    ((source, _),) = found
    return source


@pytest.mark.parametrize(
    ("reference", "options"),
    [
        ("lenet5", {}),
        ("resnet18", {"input_shape": (3, 64, 64)}),
        ("resnet18", {"part": "layer1.0"}),
        ("my nets/it's.onnx", {"inputs": InputChoice(named=(("past + 1", (3,)), ("x:0", (3, 4))))}),
        ("my nets/it's.onnx", {"inputs": InputChoice(batch_axes=(("x:0", 1),), samples="real samples.npz")}),
        ("hf:org/name", {"task": "fill-mask", "inputs": InputChoice(named=(("sequence", (8,)),))}),
        ("torchvision:resnet18", {"weights": "trained weights.pt", "part": "layer1"}),
        ("package.module:factory", {"input_shape": (3, 8, 8)}),
    ],
)
def test_a_network_is_asked_for_again(
    reference: str, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my nets/it's.onnx", "trained weights.pt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    np.savez("real samples.npz", x=np.zeros(1))
    source = resolve(reference, **{"input_shape": None, "weights": None, **options})
    assert typed(asked_in_words(source)) == source


def test_what_is_usual_is_not_said() -> None:
    assert asked_in_words(resolve("lenet5", input_shape=None, weights=None)) == "lenet5"
