"""Seeded weights are the same everywhere and healthy; given ones are loaded safely or refused in words."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchbox.errors import UsageError
from benchbox.models.building import module_from_source
from benchbox.models.seeding import load_weights, seed_trivial_statistics, seed_weights
from benchbox.models.sources import resolve
from benchbox.models.zoo.zoo import build


def zoo(name: str, weights: str | None = None) -> nn.Module:
    return module_from_source(resolve(name, input_shape=None, weights=weights), seed=0)


def test_a_weight_depends_on_seed_name_and_shape_only() -> None:
    one, two = (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3)) for _ in range(2))
    seed_weights(one, seed=5)
    seed_weights(two, seed=5)
    longer = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 7))
    seed_weights(longer, seed=5)
    other = nn.Sequential(nn.Linear(4, 3))
    seed_weights(other, seed=6)
    assert torch.equal(one[0].weight, two[0].weight)
    assert torch.equal(one[0].weight, longer[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_the_weights_of_lenet5_never_change() -> None:
    """Exports of different machines must have one sha256, so these bytes are for ever."""
    data = zoo("lenet5").state_dict()["conv1.weight"].numpy().tobytes()
    assert hashlib.sha256(data).hexdigest()[:16] == "9651773ea77ec81b"


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "resnet101"])
def test_activations_stay_healthy_in_deep_networks(name: str) -> None:
    module = zoo(name)
    shape = (4, 1, 28, 28) if name == "lenet5" else (4, 3, 64, 64)
    with torch.inference_mode():
        output = module(torch.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32)))
    assert 0.1 < output.std() < 1000
    apart = (output - output.mean(0)).std() / output.std()
    assert apart > 0.01, "the output must depend on the input, or a check of outputs checks nothing"


def test_statistics_of_a_fresh_module_are_replaced_and_of_a_trained_one_kept() -> None:
    fresh = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    assert seed_trivial_statistics(fresh, seed=0)
    assert fresh[1].running_mean.abs().min() > 0
    before = fresh[1].running_mean.clone()
    assert not seed_trivial_statistics(fresh, seed=1)
    assert torch.equal(fresh[1].running_mean, before)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_state_dict_is_loaded(suffix: str, tmp_path: Path) -> None:
    state = {name: torch.full_like(tensor, 0.5) for name, tensor in zoo("lenet5").state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    loaded = zoo("lenet5", str(path))
    assert all(bool((parameter == 0.5).all()) for parameter in loaded.parameters())


def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in zoo("lenet5").state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "wrapped.pt")
    load_weights(zoo("lenet5"), tmp_path / "wrapped.pt")


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    state = zoo("lenet5").state_dict()
    del state["fc2.bias"]
    state["fc3.bias"] = torch.zeros(3)
    state["conv1.weight"] = torch.zeros(1, 1, 5, 5)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(UsageError) as caught:
        load_weights(zoo("lenet5"), tmp_path / "other.pt")
    text = str(caught.value)
    assert "1 missing: fc2.bias" in text
    assert "1 unexpected: fc3.bias" in text
    assert "1 wrong shape: conv1.weight (1, 1, 5, 5) instead of (20, 1, 5, 5)" in text


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("content", ["missing", "text", "empty", "list", "trap", "safetensors"])
def test_bad_files_are_refused_in_words(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("bad.safetensors" if content == "safetensors" else "bad.pt")
    if content in {"text", "safetensors"}:
        path.write_text("no weights")
    elif content == "empty":
        path.write_bytes(b"")
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "trap":
        torch.save({"weights": Trap()}, path)
    with pytest.raises(UsageError, match="bad"):
        load_weights(zoo("lenet5"), path)
    assert not (tmp_path / "executed").exists(), "a weights file must never execute code"


def test_auxiliary_heads_of_published_weights_are_left_out(tmp_path: Path) -> None:
    """A full checkpoint loads into the network without heads; any other surplus key is still refused."""
    full = build("googlenet_aux").state_dict()
    path = tmp_path / "full.pt"
    torch.save(full, path)
    plain = build("googlenet")
    assert set(load_weights(plain, path)) == full.keys() - plain.state_dict().keys()
    assert torch.equal(plain.state_dict()["fc.weight"], full["fc.weight"])
    assert load_weights(build("googlenet_aux"), path) == ()
    torch.save({**full, "aux3.fc.weight": torch.zeros(1)}, path)
    with pytest.raises(UsageError, match=r"aux3\.fc\.weight"):
        load_weights(build("googlenet"), path)
    torch.save(plain.state_dict(), path)
    with pytest.raises(UsageError, match="missing"):
        load_weights(build("googlenet_aux"), path)


@pytest.mark.parametrize(
    ("name", "heads", "count"), [("googlenet", "aux1, aux2", 20), ("inception_v3", "AuxLogits", 14)]
)
def test_left_out_heads_are_said(name: str, heads: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "full.pt"
    torch.save(build(f"{name}_aux").state_dict(), path)
    said: list[str] = []
    module_from_source(resolve(name, input_shape=None, weights=str(path)), seed=0, say=said.append)
    assert said == [f"{count} tensors of auxiliary heads in {path} were left out: {heads}"]
    module_from_source(resolve(f"{name}_aux", input_shape=None, weights=str(path)), seed=0, say=said.append)
    assert len(said) == 1, "the network with the heads uses every tensor"
