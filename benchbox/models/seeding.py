"""Which weights does a network get by default, and how are given ones loaded?

Seeded weights are the same on every machine: each tensor comes from a random stream of its own, keyed by the seed and
the tensor's name, drawn by numpy (whose streams do not depend on the processor, as PyTorch's vectorised ones may).
Latency hardly depends on the values, but the exported graph does: batch normalisation with the zero statistics of a
fresh module folds away biases that every trained network has. So statistics are seeded too.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # noqa: PLC2701

from benchbox.errors import UsageError
from benchbox.stats.inputs import stream

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_KEYS = 10
_GAIN = "seed_gain"


def damped(norm: nn.BatchNorm2d, gain: float) -> nn.BatchNorm2d:
    """A batch norm whose seeded weights are scaled by ``gain``: the last of a branch, so that deep sums stay small.

    The mark is an attribute, not a subclass: counters of operations look modules up by their exact type.
    """
    vars(norm)[_GAIN] = gain
    return norm


def seed_weights(module: nn.Module, *, seed: int) -> None:
    """Fills every parameter and batch-norm statistic of a module in place.

    Convolutions and linear layers: normal with variance 2 / fan-in (He et al. 2015, arXiv 1502.01852, eq. 10), which
    keeps the size of activations through ReLUs. Biases: normal with deviation 0.05. The weights of a batch norm that is
    ``damped`` are scaled; other parameters: normal with deviation 0.02.
    """
    with torch.no_grad():
        for path, layer in module.named_modules():
            if isinstance(layer, _BatchNorm):
                _seed_batch_norm(layer, path, seed)
                continue
            for name, tensor in layer.named_parameters(prefix=path, recurse=False):
                _fill(tensor, stream(seed, "weight", name), _deviation(layer, name, tensor))


def seed_trivial_statistics(module: nn.Module, *, seed: int) -> bool:
    """Seeds batch-norm statistics and scales if all of them are a fresh module's (mean 0, variance 1).

    Returns:
        Whether anything was changed; statistics of a trained module are left alone.
    """
    norms = [(path, layer) for path, layer in module.named_modules() if isinstance(layer, _BatchNorm)]
    tracked = [(path, layer) for path, layer in norms if layer.running_mean is not None]
    if not tracked or not all(_is_fresh(layer) for _, layer in tracked):
        return False
    with torch.no_grad():
        for path, layer in tracked:
            _seed_batch_norm(layer, path, seed)
    return True


def load_weights(module: nn.Module, path: Path) -> tuple[str, ...]:
    """Loads a state dict from ``.safetensors`` or, with ``weights_only``, from what ``torch.save`` wrote.

    A wrapper ``{"state_dict": …}`` and the prefix ``module.`` of parallel training are taken off. Tensors of
    parts that the network omits (auxiliary heads, which only training needs) are ignored.

    Returns:
        The names of the ignored tensors.

    Raises:
        UsageError: the file is missing, unreadable, holds anything but tensors, or does not fit the network; the
            message lists missing, unexpected and misshapen keys.
    """
    state = _state_from_file(path)
    wanted = module.state_dict()
    left_out = getattr(module, "left_out", ())  # parts of published weights that serve training only
    ignored = tuple(name for name in state if name not in wanted and name.startswith(left_out))
    state = {name: value for name, value in state.items() if name not in ignored}
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in wanted]
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    problems = [
        _listed(title, names)
        for title, names in (("missing", missing), ("unexpected", unexpected), ("wrong shape", misshapen))
        if names
    ]
    if problems:
        raise UsageError(
            f"the weights in {path} do not fit the network",
            values="\n".join(problems),
            remedy="load the state dict of the same network",
        )
    module.load_state_dict(dict(state), strict=False)
    return ignored


def _state_from_file(path: Path) -> Mapping[str, torch.Tensor]:
    if not path.is_file():
        raise UsageError(f"there is no weights file {path}", remedy="give the path of a .pt, .pth or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: object = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every format has its own errors; none may reach the user as a traceback
        raise UsageError(
            f"the weights in {path} cannot be read",
            values=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}",
            remedy="give a state dict of tensors; files that would execute code are refused",
        ) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise UsageError(
            f"the weights in {path} are not a state dict",
            values=f"got {type(loaded).__name__}",
            remedy="save module.state_dict()",
        )
    return {str(name).removeprefix("module."): value for name, value in loaded.items()}


def _listed(title: str, names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return f"{len(names)} {title}: {', '.join(names[:SHOWN_KEYS])}{more}"


def _seed_batch_norm(layer: _BatchNorm, path: str, seed: int) -> None:
    gain = float(vars(layer).get(_GAIN, 1.0))
    draw = stream(seed, "batch_norm", path)
    count = layer.num_features
    values = {
        "weight": gain * draw.uniform(0.75, 1.25, count),
        "bias": draw.normal(0.0, 0.1, count),
        "running_mean": draw.normal(0.0, 0.1, count),
        "running_var": draw.uniform(0.75, 1.25, count),
    }
    for name, array in values.items():
        tensor = getattr(layer, name, None)
        if tensor is not None:
            tensor.copy_(torch.from_numpy(array))
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.zero_()


def _is_fresh(layer: _BatchNorm) -> bool:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return not layer.running_mean.any() and bool((layer.running_var == 1).all())


def _deviation(layer: nn.Module, name: str, tensor: torch.Tensor) -> float:
    if tensor.ndim < 2:
        return 0.05
    if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
        return math.sqrt(2 / math.prod(tensor.shape[1:]))
    return 0.02


def _fill(tensor: torch.Tensor, draw: np.random.Generator, deviation: float) -> None:
    values = draw.standard_normal(tuple(tensor.shape), dtype=np.float32)
    values *= np.float32(deviation)
    tensor.copy_(torch.from_numpy(values))
