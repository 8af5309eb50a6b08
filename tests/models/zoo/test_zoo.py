"""Every network of the zoo is what it says it is."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchbox.errors import UsageError
from benchbox.models.zoo.zoo import build, spec, specs

GOLDEN = Path(__file__).parents[2] / "golden"
PUBLISHED = list(csv.DictReader((GOLDEN / "published_models.csv").open()))
KEY_FILES = sorted((GOLDEN / "statedict_keys").glob("*.txt"))


@pytest.fixture(params=list(specs()))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_declared_parameters_are_the_modules(name: str) -> None:
    with torch.device("meta"):
        module = build(name)
    assert sum(parameter.numel() for parameter in module.parameters()) == spec(name).params


def test_declared_macs_are_what_pytorch_counts(name: str) -> None:
    """torch.utils.flop_counter counts two per multiply-add of convolutions and matrix products; no data is needed."""
    with torch.device("meta"):
        module = build(name).eval()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            module(torch.empty(1, *spec(name).input_shape))
    assert counter.get_total_flops() == 2 * spec(name).macs


def test_forward_gives_the_declared_classes(name: str) -> None:
    with torch.device("meta"):
        module = build(name).eval()
        output = module(torch.empty(2, *spec(name).input_shape))
    outputs = output if isinstance(output, tuple) else (output,)
    assert {tuple(tensor.shape) for tensor in outputs} == {(2, spec(name).num_classes)}
    assert (len(outputs) > 1) is name.endswith("_aux")


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["name"])
def test_facts_are_the_published_ones(row: dict[str, str]) -> None:
    """Parameters exactly, GMACs to the three decimals that torchvision's weights metadata gives (as "_ops").

    A blank is not published for that form: torchvision's parameters of Inception-v3 are with its auxiliary head, its
    operations without.
    """
    facts = spec(row["name"])
    assert row["params"] or row["gmacs"] or row["top1"]
    if row["params"]:
        assert facts.params == int(row["params"])
    if row["gmacs"]:
        assert f"{facts.macs / 1e9:.3f}" == f"{float(row['gmacs']):.3f}"
    if row["top1"]:
        assert facts.accuracy is not None
        assert facts.accuracy.top1 == pytest.approx(float(row["top1"]) / 100)


@pytest.mark.parametrize("path", KEY_FILES, ids=lambda path: path.stem)
def test_state_dict_keys_and_shapes_are_torchvisions(path: Path) -> None:
    """The lists agree with torchvision 0.28.0, inception_v4 with timm 1.0.31 (keys, shapes and order)."""
    with torch.device("meta"):
        state = build(path.stem).state_dict()
    ours = [f"{key} {'x'.join(map(str, tensor.shape))}".rstrip() for key, tensor in state.items()]
    assert ours == path.read_text().splitlines()


def test_key_lists_are_complete() -> None:
    """Their lengths, counted independently: two entries a layer with bias, one without, five a batch norm."""
    counts = {path.stem: len(path.read_text().splitlines()) for path in KEY_FILES}
    assert counts == {
        "alexnet": 2 * 8,
        "vgg16": 2 * 16,
        "resnet18": (1 + 5) * (17 + 3) + 2,
        "resnet50": (1 + 5) * (49 + 4) + 2,
        "vgg16_bn": (2 + 5) * 13 + 2 * 3,
        "squeezenet1_1": 2 * (1 + 3 * 8 + 1),
        "mobilenet_v2": (1 + 5) * 52 + 2,
        "googlenet": (1 + 5) * (3 + 6 * 9) + 2,
        "inception_v3": (1 + 5) * 94 + 2,
        "mobilenet_v3_small": (1 + 5) * (1 + 3 * 11 - 1 + 1) + 4 * 9 + 4,
        "mobilenet_v3_large": (1 + 5) * (1 + 3 * 15 - 1 + 1) + 4 * 8 + 4,
        "vgg11": 2 * 11,
        "vgg13": 2 * 13,
        "vgg19": 2 * 19,
        "vgg11_bn": (2 + 5) * 8 + 2 * 3,
        "vgg13_bn": (2 + 5) * 10 + 2 * 3,
        "vgg19_bn": (2 + 5) * 16 + 2 * 3,
        "resnet34": (1 + 5) * (33 + 3) + 2,
        "resnet101": (1 + 5) * (100 + 4) + 2,
        "resnet152": (1 + 5) * (151 + 4) + 2,
        "googlenet_aux": (1 + 5) * (3 + 6 * 9 + 2) + 2 + 2 * 4,
        "inception_v3_aux": (1 + 5) * (94 + 2) + 2 + 2,
        "inception_v4": (1 + 5) * (3 + 2 + 6 + 1 + 7 * 4 + 4 + 10 * 7 + 6 + 10 * 3 - 1) + 2,
        "shufflenet_v2_x1_0": (1 + 5) * (1 + 5 * 3 + 3 * 13 + 1) + 2,
    }


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="resnet50"):
        spec("resnet5O")
