"""What a module leaves behind in tensors of its own is undone, and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchbox.backends.base import OpenRequest
from benchbox.backends.pytorch.cpu import PyTorchBackend
from benchbox.backends.pytorch.first_tensors import FirstTensors
from benchbox.export.exporting import artifact_from_source
from benchbox.models.kept_tensors import kept_tensors_put_back
from benchbox.models.sources import resolve
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision


class Remembering(nn.Module):
    """Counts its inferences in place, keeps an average that it replaces, and a cache that it fills."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 4)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("average", torch.full((8,), float("nan")))
        self.last: torch.Tensor | None = None
        self.scale = torch.ones(4)
        self.words: list[str] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Another result each time."""
        self.seen += 1
        self.average = torch.nan_to_num(self.average) * 0.9 + 0.1
        self.words = ["made when first needed"]
        self.last = self.fc(x - self.average) * self.seen
        return self.last


def made() -> tuple[nn.Module, torch.Tensor]:
    """A factory."""
    return Remembering(), torch.randn(2, 8)


def test_what_changed_is_named_and_put_back() -> None:
    module, x = made()
    with kept_tensors_put_back(module) as changed:
        module(x)
    assert changed == ["seen", "average", "last"]
    assert (module.seen.item(), module.last, module.average.isnan().all().item()) == (0.0, None, True)
    with kept_tensors_put_back(module) as changed:
        module.fc(x)
    assert changed == []


def test_what_is_computed_anew_is_no_memory() -> None:
    """A weight that is normalised before each inference is another tensor, of the same numbers."""
    layer = nn.utils.weight_norm(nn.Linear(8, 4))
    layer(torch.randn(2, 8))
    with kept_tensors_put_back(layer) as changed:
        layer(torch.randn(2, 8))
    assert changed == []


def test_a_network_that_remembers_is_exported_as_its_first_inference(tmp_path: Path) -> None:
    source = resolve(f"{__name__}:made", input_shape=None, weights=None)
    artifact = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert all(hop.passed for hop in artifact.hops)
    assert "average, last, seen" in artifact.warnings[0]


def test_pytorch_begins_each_upload_with_the_first_tensors() -> None:
    border = tuple(TensorSpec(name=name, dtype="float32", shape=(2, size)) for name, size in (("x", 8), ("y", 4)))
    module, x = made()
    request = OpenRequest(
        precision=Precision.FP32, threads=1, inputs=border[:1], outputs=border[1:], module=lambda: module
    )
    session = PyTorchBackend().open(request)
    outputs = []
    for _ in range(2):
        session.upload(0, {"x": x.numpy()})
        session.enqueue(0)
        outputs.append(session.download(0)["y"])
        session.enqueue(0)
    np.testing.assert_array_equal(*outputs)
    assert not np.array_equal(session.download(0)["y"], outputs[0])


def test_writes_that_pytorch_does_not_count_are_put_back_where_they_happen() -> None:
    """A replayed CUDA graph writes to the memory of a tensor, as this does, and no counter of PyTorch moves."""
    seen = []
    for unseen_writes in (False, True):
        module, _ = made()
        first = FirstTensors(torch, module, unseen_writes=unseen_writes)
        module.seen.data.add_(1)
        first.put_back()
        seen.append(module.seen.item())
    assert seen == [1.0, 0.0]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_parameters_are_left_alone(kind: torch.dtype) -> None:
    layer = nn.Linear(2, 2).to(kind)
    with kept_tensors_put_back(layer) as changed:
        layer.float()
    assert (changed, layer.weight.dtype) == ([], torch.float32)
