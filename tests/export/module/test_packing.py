"""Networks that pack their sequences are exported as ONNX's recurrent operators with lengths."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchbox.errors import ArtifactError
from benchbox.export.exporting import artifact_from_source
from benchbox.export.module.packing import FULL, packed_as_padded
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision

LENGTHS = (7, 12, 9)


class Network(nn.Module):
    """Layers in two directions, read at their outputs and their last states."""

    def __init__(self, layer: type[nn.RNNBase], layers: int, **options: object) -> None:
        super().__init__()
        self.rnn = layer(8, 16, layers, bidirectional=True, **options)
        self.head = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of each step, and the last states with the samples first."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, last = self.rnn(packed)
        steps, _ = pad_packed_sequence(outputs, batch_first=True, padding_value=-1.0, total_length=12)
        return self.head(steps), (last[1] if isinstance(last, tuple) else last).transpose(0, 1)


class First(nn.Module):
    """A packed sequence of sequence-first samples with a first state, and whatever ``read`` makes of it."""

    def __init__(self, read: str = "", **options: object) -> None:
        super().__init__()
        self.rnn, self.read = nn.LSTM(8, 16, **options), read

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The packed data itself where that is to be read, else the last state."""
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        return getattr(packed, self.read) if self.read else self.rnn(packed)[1][0]


def lstm() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A factory."""
    return Network(nn.LSTM, 2), (torch.randn(3, 12, 8), torch.tensor(LENGTHS))


def gru() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A factory."""
    return Network(nn.GRU, 1), (torch.randn(3, 12, 8), torch.tensor(LENGTHS))


def rnn() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A factory."""
    return Network(nn.RNN, 2, nonlinearity="relu", bias=False), (torch.randn(3, 12, 8), torch.tensor(LENGTHS))


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("gru", 1),
        pytest.param("lstm", 2, marks=pytest.mark.nightly),
        pytest.param("rnn", 2, marks=pytest.mark.nightly),
    ],
)
def test_sequences_of_different_lengths(kind: str, layers: int, tmp_path: Path) -> None:
    source = resolve(f"{__name__}:{kind}", input_shape=None, weights=None)
    artifact = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert [hop.passed for hop in artifact.hops] == [True, True]
    assert (artifact.fixed_batch, [spec.shape for spec in artifact.outputs]) == (
        None,
        [(None, 12, 3), (None, 2 * layers, 16)],
    )
    nodes = onnx.load(str(tmp_path / artifact.path)).graph.node
    recurrent = [node for node in nodes if node.op_type == kind.upper()]
    assert len(recurrent) == layers
    assert all(node.input[4] for node in recurrent)


@pytest.mark.parametrize(
    ("network", "words"),
    [(First("data"), "reads 'data' of a packed sequence"), (First(proj_size=4), "proj_size=4")],
    ids=["data", "projection"],
)
def test_what_onnx_does_not_have_is_named(network: First, words: str) -> None:
    with packed_as_padded(), pytest.raises(ArtifactError, match=words):
        network(torch.zeros(12, 3, 8), torch.tensor(LENGTHS))
    packed = pack_padded_sequence(torch.zeros(12, 3, 8), torch.tensor(LENGTHS), enforce_sorted=False)
    assert packed.data.shape == (sum(LENGTHS), 8)  # PyTorch's own is back


class Open(nn.Module):
    """Outputs as long as the longest sequence of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of each step, and of their mean."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        steps = self.head(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0])
        return steps, steps.mean(dim=1)


def short() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A factory whose padded tensor is longer than any of its sequences."""
    return Open(), (torch.randn(3, 12, 8), torch.tensor((7, 5, 9)))


def whole() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A factory whose first sequence fills the padded tensor."""
    return Open(), (torch.randn(3, 12, 8), torch.tensor((12, 5, 9)))


def imported() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A factory whose network has its own names for the two functions, which no module knows."""
    pack = torch.nn.utils.rnn.pack_padded_sequence

    class Inside(First):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            """The last state."""
            return self.rnn(pack(x, enforce_sorted=False, lengths=lengths))[1][0]

    return Inside(), (torch.randn(12, 3, 8), torch.tensor(LENGTHS))


def test_functions_of_any_name_are_followed(tmp_path: Path) -> None:
    source = resolve(f"{__name__}:imported", input_shape=None, weights=None)
    artifact = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert all(hop.passed for hop in artifact.hops)


def test_an_lstm_with_a_projection_is_named(tmp_path: Path) -> None:
    source = resolve(f"{__name__}:projected", input_shape=None, weights=None)
    with pytest.raises(ArtifactError, match="proj_size=4, which ONNX's LSTM has not"):
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path)


def projected() -> tuple[nn.Module, torch.Tensor]:
    """A factory."""
    return nn.LSTM(8, 16, proj_size=4), torch.randn(12, 3, 8)


@pytest.mark.parametrize(("factory", "is_cut"), [("short", True), ("whole", False)])
def test_outputs_end_with_the_longest_sequence(factory: str, is_cut: bool, tmp_path: Path) -> None:
    """As PyTorch's; where the first sequence fills the padded tensor the size is a constant, and all is counted."""
    source = resolve(f"{__name__}:{factory}", input_shape=None, weights=None)
    artifact = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert all(hop.passed for hop in artifact.hops)
    assert artifact.fixed_batch is None
    assert any(FULL in warning for warning in artifact.warnings) is not is_cut
    (steps, _) = onnx.load(str(tmp_path / artifact.path)).graph.output
    assert (steps.type.tensor_type.shape.dim[1].dim_value == 12) is not is_cut


def test_outputs_of_no_said_length_are_as_long_as_the_input() -> None:
    packed = torch.zeros(12, 3, 8)
    with packed_as_padded() as notes:
        made = pad_packed_sequence(pack_padded_sequence(packed, torch.tensor(LENGTHS)), padding_value=1.0)[0]
    assert (made.shape, "total_length" in notes[0]) == (packed.shape, True)
    assert made[:, :, 0].sum(dim=0).tolist() == [12.0 - length for length in LENGTHS]
